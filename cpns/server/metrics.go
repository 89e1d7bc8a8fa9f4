package server

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// metricHelp says what each metric is, with its unit; docs/operating.md says what to
// watch. Labels are words of this program: no ID of anybody is in them.
var metricHelp = map[string]string{
	"cpns_build_info":                           "The program's version.",
	"cpns_assignments_total":                    "Answers to EUKey Assignment Requests, by status.",
	"cpns_assignment_seconds":                   "How long requests took that were answered with a status, until the answer was sent.",
	"cpns_problems_total":                       "Requests that were answered in plain HTTP, by status code.",
	"cpns_lockouts_total":                       "Failures that locked a user at a gateway.",
	"cpns_budget_refusals_total":                "Requests that were refused for a budget: of a gateway, or of an address that sends what proves to be no gateway's.",
	"cpns_budget_tracked":                       "Gateways and addresses whose budgets are in memory.",
	"cpns_budget_exhausted":                     "Those of them that have nothing left at the moment.",
	"cpns_slowed_requests":                      "Requests that wait because their users failed at many gateways.",
	"cpns_replicas":                             "Servers of the database, this one included, as they were counted last; the budgets are divided by it.",
	"cpns_connections":                          "Connections of gateways and strangers.",
	"cpns_connections_refused_total":            "Connections that were closed because too many were open.",
	"cpns_store_seconds":                        "How long transactions took, tries that were run again included.",
	"cpns_store_up":                             "1 where the database could be reached, and written to, the last time.",
	"cpns_store_failures_total":                 "Transactions that failed: the database was away, or something else is wrong with it.",
	"cpns_store_retries_total":                  "Transactions that were run again after a conflict, by PostgreSQL's reason.",
	"cpns_store_connections":                    "Connections to PostgreSQL, all and those in use.",
	"cpns_audit_sealed_total":                   "Events of the audit log that this server has sealed, of all servers'.",
	"cpns_audit_looked_timestamp_seconds":       "When this server last had its turn to seal the audit log.",
	"cpns_audit_forged_total":                   "Events in the database that no server or operator wrote so.",
	"cpns_certificate_expiry_timestamp_seconds": "When the server certificate in use ends.",
	"cpns_log_suppressed_total":                 "Lines that strangers caused, and that were left out of the log for it.",
	"cpns_syslog_up":                            "1 while the syslog server takes events; there where --syslog is given.",
	"cpns_syslog_sent_total":                    "Events of the audit log that were sent to the syslog server.",
	"cpns_syslog_lost_total":                    "Events that were not: too many waited, or this server ended.",
	"cpns_syslog_waiting":                       "Events that wait for the syslog server.",
	"go_goroutines":                             "Goroutines.",
	"process_cpu_seconds_total":                 "Processor time in user and system mode.",
	"process_resident_memory_bytes":             "Memory that the process holds.",
	"process_open_fds":                          "Open files and connections.",
	"process_start_time_seconds":                "When the server began, in seconds since 1970.",
}

// A Watched is what a server's metrics tell beside its own: what its main has put
// together.
type Watched struct {
	Version         string
	CertificateEnds func() time.Time    // nil where there is none
	Syslog          func() SyslogCounts // nil where there is none
}

// SyslogCounts are what became of the events that a syslog server gets.
type SyslogCounts struct {
	Up         bool
	Sent, Lost uint64
	Waiting    int
}

// A statStore is a store that runs transactions again, on connections of which it has a
// few.
type statStore interface {
	Conflicts() (serialization, deadlock uint64)
	Pool() (open, inUse int)
}

// WriteMetrics writes the metrics in Prometheus' text format.
func (s *Server) WriteMetrics(w io.Writer, also Watched) error {
	var m metricText
	t := s.tally
	m.gauge("cpns_build_info", 1, "version", also.Version)
	m.family("cpns_assignments_total", "counter")
	for n, name := range statusNames {
		m.sample("", float64(t.assignments[n].Load()), "status", name)
	}
	m.family("cpns_assignment_seconds", "histogram")
	m.histogram(&t.took)
	m.family("cpns_problems_total", "counter")
	for n := range t.problems {
		code := "other"
		if n < len(problemCodes) {
			code = strconv.Itoa(problemCodes[n])
		}
		m.sample("", float64(t.problems[n].Load()), "code", code)
	}
	m.counter("cpns_lockouts_total", t.lockOuts.Load())
	m.family("cpns_budget_refusals_total", "counter")
	m.sample("", float64(t.gatewayOver.Load()), "budget", "gateway")
	m.sample("", float64(t.addressOver.Load()), "budget", "address")
	s.budgets(&m)
	m.gauge("cpns_slowed_requests", float64(s.slowed.count()))
	m.gauge("cpns_replicas", float64(t.replicas.Load()))
	open, refused := t.connections.Load().counts()
	m.gauge("cpns_connections", float64(open))
	m.counter("cpns_connections_refused_total", refused)

	m.family("cpns_store_seconds", "histogram")
	for n, name := range operationNames {
		m.histogram(&t.operations[n], "operation", name)
	}
	m.gauge("cpns_store_up", truth(t.reached.Load()))
	m.family("cpns_store_failures_total", "counter")
	m.sample("", float64(t.away.Load()), "reason", "away")
	m.sample("", float64(t.failed.Load()), "reason", "other")
	if c, ok := s.stats.(statStore); ok {
		serialization, deadlock := c.Conflicts()
		m.family("cpns_store_retries_total", "counter")
		m.sample("", float64(serialization), "reason", "serialization")
		m.sample("", float64(deadlock), "reason", "deadlock")
		open, inUse := c.Pool()
		m.family("cpns_store_connections", "gauge")
		m.sample("", float64(open), "state", "open")
		m.sample("", float64(inUse), "state", "in_use")
	}

	m.counter("cpns_audit_sealed_total", t.sealed.Load())
	m.gauge("cpns_audit_looked_timestamp_seconds", float64(t.sealedAt.Load())/1000)
	m.counter("cpns_audit_forged_total", t.forged.Load())
	if also.CertificateEnds != nil {
		m.gauge("cpns_certificate_expiry_timestamp_seconds", float64(also.CertificateEnds().Unix()))
	}
	m.counter("cpns_log_suppressed_total", t.suppressed.Load())
	if also.Syslog != nil {
		c := also.Syslog()
		m.gauge("cpns_syslog_up", truth(c.Up))
		m.counter("cpns_syslog_sent_total", c.Sent)
		m.counter("cpns_syslog_lost_total", c.Lost)
		m.gauge("cpns_syslog_waiting", float64(c.Waiting))
	}
	m.process(t.began)
	_, err := io.WriteString(w, m.String())
	return err
}

func (s *Server) budgets(m *metricText) {
	gateways, gatewaysOut := s.gateways.counts(s.now())
	sources, sourcesOut := s.sources.counts(s.now())
	m.family("cpns_budget_tracked", "gauge")
	m.sample("", float64(gateways), "budget", "gateway")
	m.sample("", float64(sources), "budget", "address")
	m.family("cpns_budget_exhausted", "gauge")
	m.sample("", float64(gatewaysOut), "budget", "gateway")
	m.sample("", float64(sourcesOut), "budget", "address")
}

// A metricText is a text in the format.
type metricText struct {
	strings.Builder
	name string // of the family under way
}

func (m *metricText) family(name, kind string) {
	m.name = name
	fmt.Fprintf(m, "# HELP %s %s\n# TYPE %s %s\n", name, metricHelp[name], name, kind)
}

// sample adds a sample, with pairs of a label's name and its value.
func (m *metricText) sample(suffix string, value float64, labels ...string) {
	m.WriteString(m.name + suffix)
	for n := 0; n < len(labels); n += 2 {
		m.WriteString(map[bool]string{true: "{", false: ","}[n == 0] + labels[n] + "=" + strconv.Quote(labels[n+1]))
	}
	if len(labels) > 0 {
		m.WriteString("}")
	}
	m.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

func (m *metricText) gauge(name string, value float64, labels ...string) {
	m.family(name, "gauge")
	m.sample("", value, labels...)
}

func (m *metricText) counter(name string, value uint64) {
	m.family(name, "counter")
	m.sample("", float64(value))
}

func (m *metricText) histogram(h *histogram, labels ...string) {
	all := uint64(0)
	for n := range h.buckets {
		all += h.buckets[n].Load()
		le := "+Inf"
		if n < len(bounds) {
			le = strconv.FormatFloat(bounds[n], 'g', -1, 64)
		}
		m.sample("_bucket", float64(all), append(labels[:len(labels):len(labels)], "le", le)...)
	}
	m.sample("_sum", time.Duration(h.nanos.Load()).Seconds(), labels...)
	m.sample("_count", float64(all), labels...)
}

// process tells what every program of Prometheus' tells of its process.
func (m *metricText) process(began time.Time) {
	m.gauge("go_goroutines", float64(runtime.NumGoroutine()))
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil {
		m.family("process_cpu_seconds_total", "counter")
		m.sample("", time.Duration(used.Utime.Nano()+used.Stime.Nano()).Seconds())
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			if pages, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				m.gauge("process_resident_memory_bytes", float64(pages)*float64(os.Getpagesize()))
			}
		}
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		m.gauge("process_open_fds", float64(len(open)-1)) // but for the folder itself
	}
	m.gauge("process_start_time_seconds", float64(began.UnixMilli())/1000)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

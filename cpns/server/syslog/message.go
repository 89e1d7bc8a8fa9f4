package syslog

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

const (
	facility = 13 // log audit
	// structuredData names the elements of this program, with the number that RFC 5612
	// has for whoever has none of their own.
	structuredData = "cpns@32473"

	severityError   = 3
	severityWarning = 4
	severityInfo    = 6
)

// warnings are the events that somebody might want to look at.
var warnings = map[server.EventKind]bool{
	server.EventAuthFailed: true, server.EventUserLocked: true, server.EventUnknownPNE: true, server.EventOwnedByOther: true,
	server.EventClaimRefused: true, server.EventRandomReused: true,
}

// message is an event as a message of RFC 5424, section 6. All of it is in the structured
// data, and once more in the text: many servers are set up to drop the first.
func (x *Exporter) message(q *queued) string {
	e := &q.event
	severity := severityInfo
	if warnings[e.Kind] {
		severity = severityWarning
	}
	var data strings.Builder
	data.WriteString("[" + structuredData)
	for _, p := range []struct{ name, value string }{
		{"number", strconv.FormatInt(e.Seq, 10)}, {"user", string(e.User)}, {"pne", string(e.Entity)}, {"gateway", string(e.Gateway)},
		{"epoch", epochText(e)}, {"source", e.Source}, {"detail", e.Detail}, {"head", q.head},
	} {
		if p.value != "" {
			data.WriteString(" " + p.name + `="` + escaped(p.value) + `"`)
		}
	}
	data.WriteString("]")
	text := e.Text()
	if q.head != "" {
		text += " head=" + q.head
	}
	return x.header(severity, e.Time, string(e.Kind)) + data.String() + " " + clean(text)
}

func epochText(e *server.Event) string {
	if e.Epoch == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(e.Epoch), 10)
}

// lostMessage tells of events that could not be sent.
func (x *Exporter) lostMessage(n uint64, now time.Time) string {
	return x.header(severityError, now, "events_lost") +
		fmt.Sprintf(`[%s lost="%d"] %d events of the audit log were not sent: cpns-server audit shows them`, structuredData, n, n)
}

func (x *Exporter) header(severity int, at time.Time, msgID string) string {
	return fmt.Sprintf("<%d>1 %s %s cpns-server %s %s ", facility*8+severity, at.UTC().Format("2006-01-02T15:04:05.000Z"), x.host, x.pid, printable(msgID, 32))
}

// printable is what may stand in a header: visible ASCII, up to a length.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < 33 || r > 126 {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}

// clean is a text in which nothing ends a line or moves a cursor.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

// escaped is the value of an element of the structured data.
func escaped(s string) string { return escapes.Replace(clean(s)) }

package server_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/gob"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
)

// clientsEnv makes the test binary the clients of a benchmark: a process of their own, so
// that what the servers take of the processors can be told from what the clients take.
const clientsEnv = "CPNS_SERVER_TEST_CLIENTS"

// A load is what the clients are told: bodies to post, each once, the next one by whichever
// client is free. Client n goes to server n modulo their number.
type load struct {
	URLs    []string
	Cert    []byte // of the servers
	Clients int
	Bodies  [][]byte
}

// A loadResult is how it went.
type loadResult struct {
	Took []time.Duration // of each request
	All  time.Duration
	CPU  time.Duration // of the clients
	Err  string        // the first thing that went wrong
}

// beClients connects all clients, says so, waits to be told, and posts.
func beClients(in io.Reader, out io.Writer) error {
	dec, enc := gob.NewDecoder(in), gob.NewEncoder(out)
	var l load
	if err := dec.Decode(&l); err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(l.Cert)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	clients := make([]*http.Client, l.Clients)
	for n := range clients {
		clients[n] = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}}}
		res, err := clients[n].Get(l.URLs[n%len(l.URLs)] + "/healthz")
		if err != nil {
			return err
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	if err := enc.Encode("ready"); err != nil {
		return err
	}
	var start string
	if err := dec.Decode(&start); err != nil {
		return err
	}
	r := loadResult{Took: make([]time.Duration, len(l.Bodies))}
	var wrong atomic.Pointer[string]
	var begun atomic.Int64
	var wg sync.WaitGroup
	cpu, begin := processorTime(), time.Now()
	for n, c := range clients {
		wg.Go(func() {
			for i := begun.Add(1) - 1; i < int64(len(l.Bodies)); i = begun.Add(1) - 1 {
				begin := time.Now()
				if err := postOne(c, l.URLs[n%len(l.URLs)], l.Bodies[i]); err != nil {
					text := err.Error()
					wrong.CompareAndSwap(nil, &text)
				}
				r.Took[i] = time.Since(begin)
			}
		})
	}
	wg.Wait()
	r.All, r.CPU = time.Since(begin), processorTime()-cpu
	if text := wrong.Load(); text != nil {
		r.Err = *text
	}
	return enc.Encode(&r)
}

func postOne(client *http.Client, url string, body []byte) error {
	res, err := client.Post(url+cpns.AssignmentPath, cpns.ContentType, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK || n < 2000 {
		return fmt.Errorf("got HTTP %s, %d bytes, %v", res.Status, n, err)
	}
	return nil
}

// processorTime is what this process has had of the processors.
func processorTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// postAll has clients in a process of their own post each of bodies once, to webs in this
// one, and reports how many they did in a second, the median of their times, and what of
// the processors the servers took for each and the clients.
func postAll(b *testing.B, webs []*httptest.Server, clients int, bodies [][]byte, unit string) {
	l := load{Cert: webs[0].Certificate().Raw, Clients: clients, Bodies: bodies}
	for _, w := range webs {
		l.URLs = append(l.URLs, w.URL)
	}
	self, err := os.Executable()
	must(b, err)
	cmd := exec.CommandContext(b.Context(), self)
	cmd.Env = append(os.Environ(), clientsEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	enc, dec := gob.NewEncoder(in), gob.NewDecoder(out)
	must(b, enc.Encode(&l))
	var ready string
	must(b, dec.Decode(&ready))
	cpu := processorTime()
	b.ResetTimer()
	must(b, enc.Encode("go"))
	var r loadResult
	must(b, dec.Decode(&r))
	b.StopTimer()
	cpu = processorTime() - cpu
	must(b, cmd.Wait())
	if r.Err != "" {
		b.Error(r.Err)
	}
	slices.Sort(r.Took)
	n := len(r.Took)
	b.ReportMetric(float64(n)/r.All.Seconds(), unit+"/s")
	b.ReportMetric(float64(cpu)/1e3/float64(n), "µs-server/op")
	b.ReportMetric(float64(r.CPU)/1e3/float64(n), "µs-clients/op")
	b.ReportMetric(float64(r.Took[n/2])/1e6, "ms-median")
	b.ReportMetric(float64(r.Took[n*99/100])/1e6, "ms-p99")
}

package batch

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/cpns"
)

// office is an agent with a server behind it, in virtual time.
type office struct {
	known    map[cpns.EntityID]agent.PNE
	asked    map[cpns.EntityID]int
	present  func(cpns.EntityID) time.Duration // until a device takes its key; <0 for never
	answer   func(cpns.EntityID) (agent.Outcome, bool)
	down     func() error // of the way to the agent itself
	busiest  int
	requests []time.Time
}

func newOffice() *office {
	return &office{
		known: map[cpns.EntityID]agent.PNE{}, asked: map[cpns.EntityID]int{},
		present: func(cpns.EntityID) time.Duration { return 0 },
		answer:  func(cpns.EntityID) (agent.Outcome, bool) { return agent.Outcome{}, false },
		down:    func() error { return nil },
	}
}

func (o *office) Show(_ context.Context, e cpns.EntityID) (agent.PNE, error) {
	if err := o.down(); err != nil {
		return agent.PNE{}, err
	}
	p, ok := o.known[e]
	if !ok {
		return p, &api.AnswerError{Status: http.StatusNotFound, Text: "no such device here"}
	}
	if p.LastSeen != "" && p.State == agent.StateAssigned {
		if at, _ := time.Parse(time.RFC3339Nano, p.LastSeen); !time.Now().Before(at) {
			p.State = agent.StateDelivered
		}
	}
	return p, nil
}

func (o *office) Provision(_ context.Context, r agent.ProvisionRequest, _ func(agent.Step), done func(agent.Outcome)) error {
	if err := o.down(); err != nil {
		return err
	}
	o.requests = append(o.requests, time.Now())
	o.busiest = max(o.busiest, len(r.Entities))
	for _, e := range r.Entities {
		o.asked[e]++
		if out, not := o.answer(e); not {
			out.Entity = e
			done(out)
			continue
		}
		p := agent.PNE{Entity: e, User: r.User, State: agent.StateAssigned}
		if d := o.present(e); d >= 0 {
			p.LastSeen = time.Now().Add(d).Format(time.RFC3339Nano)
		}
		o.known[e] = p
		done(agent.Outcome{Entity: e, Result: agent.ResultAssigned})
	}
	return nil
}

// start makes a batch of a file, whose verdicts go into got.
func (o *office) start(t *testing.T, file string, change func(*Config)) (b *Batch, got map[string]Result) {
	t.Helper()
	got = map[string]Result{}
	cfg := Config{
		Agent: o, File: strings.NewReader(file), User: "alice", Wait: time.Minute, Pace: 50 * time.Millisecond, Patience: 5 * time.Minute,
		Hash: func(context.Context, cpns.UserID) (cpns.PasswordHash, error) { return cpns.PasswordHash{1}, nil },
		Tell: func(r Row, v Verdict) {
			key := fmt.Sprintf("%d %s", r.Line, r.Entity)
			if old, twice := got[key]; twice {
				t.Errorf("%s: a second verdict %s, after %s", key, v.Result, old)
			}
			got[key] = v.Result
		},
		Say: func(string) {},
	}
	if change != nil {
		change(&cfg)
	}
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b, got
}

func rows(n int) string {
	var b strings.Builder
	b.WriteString("entity_id,label\n")
	for i := range n {
		fmt.Fprintf(&b, "d-%06d,box %d\n", i, i)
	}
	return b.String()
}

// A hundred devices, some of them absent, wrong or refused.
func TestHundred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		o.present = func(e cpns.EntityID) time.Duration {
			if strings.HasSuffix(string(e), "7") {
				return -1
			}
			return 3 * time.Second
		}
		o.answer = func(e cpns.EntityID) (agent.Outcome, bool) {
			return agent.Outcome{Result: agent.ResultRefused, Status: cpns.UnknownPNE, Detail: "no key", Advice: "import it"}, strings.HasSuffix(string(e), "3")
		}
		file := rows(100) + "d-000001,again\nd 1,bad\nCPNS:1:d-000002:ZZ,mistyped\n\"open,\n" + cpns.Label("by-label") + ",x\n"
		b, _ := o.start(t, file, nil)
		if err := b.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := Counts{agent.ResultDelivered: 81, agent.ResultAssigned: 10, agent.ResultRefused: 10, Duplicate: 1, Bad: 3}
		if got := b.Counts(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if o.busiest > chunk {
			t.Errorf("%d devices were asked for at once", o.busiest)
		}
		if o.asked["by-label"] != 1 {
			t.Error("the device given by its label was not asked for")
		}
		for i := 1; i < len(o.requests); i++ { // the last has fewer devices, and pauses less
			if gap := o.requests[i].Sub(o.requests[i-1]); gap < chunk*50*time.Millisecond {
				t.Errorf("request %d came %v after the one before", i, gap)
			}
		}
		var out bytes.Buffer
		if err := b.Report(&out); err != nil {
			t.Fatal(err)
		}
		report, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(out.String(), "\ufeff"))).ReadAll()
		if err != nil || len(report) != 106 {
			t.Fatalf("%d rows of report, %v", len(report), err)
		}
		for line, want := range map[int]string{
			1:   "2|d-000000||box 0|delivered||",
			4:   "5|d-000003||box 3|refused|no key|import it",
			101: "102|d-000001||again|duplicate|line 3 has it already|",
			102: "103|d 1|||bad|entity ID: byte 2 is 0x20, not printable ASCII without space|mend the row and give the command again",
		} {
			r := report[line]
			if got := strings.Join([]string{r[0], r[1], r[4], r[3], r[5], r[6], r[7]}, "|"); got != want && !(line == 102 && strings.HasPrefix(got, "103|d 1||bad|bad|")) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}

		// The same again: those that are delivered are not asked for, nor those whose keys wait.
		asked := len(o.asked)
		o.answer = func(cpns.EntityID) (agent.Outcome, bool) { return agent.Outcome{}, false }
		b, _ = o.start(t, out.String(), nil) // a report is a file as well
		if err := b.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := b.Counts(), (Counts{Already: 81, agent.ResultAssigned: 10, agent.ResultDelivered: 10, Duplicate: 1, Bad: 3}); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("again: got %v, want %v", got, want)
		}
		for e, n := range o.asked {
			if want := 1; n != want && !(n == 2 && strings.HasSuffix(string(e), "3")) {
				t.Errorf("%s was asked for %d times", e, n)
			}
		}
		if len(o.asked) != asked {
			t.Error("devices were asked for that are not in the file")
		}
	})
}

// Where the server is away, or the agent, nothing is lost; where it stays away the
// batch ends.
func TestAway(t *testing.T) {
	for name, away := range map[string]func(o *office, until time.Time){
		"server": func(o *office, until time.Time) {
			o.answer = func(cpns.EntityID) (agent.Outcome, bool) {
				return agent.Outcome{Result: agent.ResultUnreachable, Detail: "no route", RetryAfter: 7}, time.Now().Before(until)
			}
		},
		"agent": func(o *office, until time.Time) {
			o.down = func() error {
				if time.Now().Before(until) {
					return &api.ConnectError{Socket: "x", Err: errors.New("refused")}
				}
				return nil
			}
		},
	} {
		for _, d := range []time.Duration{2 * time.Minute, time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				o := newOffice()
				begin := time.Now()
				away(o, begin.Add(d))
				b, _ := o.start(t, rows(40), nil)
				err := b.Run(t.Context())
				n := b.Counts()
				switch {
				case d < time.Hour && (err != nil || n[agent.ResultDelivered] != 40):
					t.Errorf("%s: got %v, %v", name, n, err)
				case d == time.Hour && (err == nil || n[Unasked] == 0 || n[agent.ResultDelivered] != 0 || time.Since(begin) > 7*time.Minute):
					t.Errorf("%s: got %v, %v after %v", name, n, err, time.Since(begin))
				case len(o.requests) > 20:
					t.Errorf("%s: %d requests", name, len(o.requests))
				}
			})
		}
	}
}

// After a wrong password nothing more is asked in that user's name, and others are.
func TestWrongPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		file := "entity_id,user\n"
		for i := range 60 {
			file += fmt.Sprintf("d-%d,%s\n", i, []string{"alice", "bob"}[i%2])
		}
		o.answer = func(e cpns.EntityID) (agent.Outcome, bool) {
			var n int
			fmt.Sscanf(string(e), "d-%d", &n)
			return agent.Outcome{Result: agent.ResultRefused, Status: cpns.UserAuthenticationFailed, Detail: "wrong"}, n%2 == 1
		}
		var asked []cpns.UserID
		b, _ := o.start(t, file, func(c *Config) {
			c.Hash = func(_ context.Context, u cpns.UserID) (cpns.PasswordHash, error) {
				asked = append(asked, u)
				return cpns.PasswordHash{}, nil
			}
		})
		if err := b.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		bobs := 0
		for e := range o.asked {
			var n int
			if fmt.Sscanf(string(e), "d-%d", &n); n%2 == 1 {
				bobs++
			}
		}
		if n := b.Counts(); n[agent.ResultDelivered] != 30 || n[agent.ResultRefused] != 30 || bobs != 1 || len(asked) != 2 {
			t.Errorf("got %v, %d asked for in bob's name, passwords of %v", n, bobs, asked)
		}
	})
}

func TestDryRun(t *testing.T) {
	o := newOffice()
	o.known["d-000001"] = agent.PNE{User: "alice", State: agent.StateDelivered}
	b, _ := o.start(t, rows(3)+"x y,\n", func(c *Config) {
		c.DryRun = true
		c.Hash = func(context.Context, cpns.UserID) (cpns.PasswordHash, error) {
			t.Error("a dry run asked for a password")
			return cpns.PasswordHash{}, nil
		}
	})
	if err := b.Run(t.Context()); err != nil || len(o.asked) != 0 || fmt.Sprint(b.Counts()) != fmt.Sprint(Counts{Good: 2, Already: 1, Bad: 1}) {
		t.Errorf("got %v, %v, asked for %v", b.Counts(), err, o.asked)
	}
}

// Who breaks off gets a report of what was done.
func TestBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		ctx, cancel := context.WithCancel(t.Context())
		b, _ := o.start(t, rows(100), nil)
		time.AfterFunc(1500*time.Millisecond, cancel)
		if err := b.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		n := b.Counts()
		if n[Unasked] == 0 || n[agent.ResultAssigned] != len(o.asked) || n[Unasked]+n[agent.ResultAssigned] != 100 {
			t.Errorf("got %v with %d asked for", n, len(o.asked))
		}
	})
}

func TestFileChanges(t *testing.T) {
	f := bytes.NewReader([]byte(rows(3)))
	b, _ := newOffice().start(t, "", func(c *Config) { c.File = f })
	f.Reset([]byte(strings.Replace(rows(3), "d-000001", "d-000009", 1)))
	if err := b.Run(t.Context()); !errors.Is(err, errChanged) {
		t.Errorf("got %v, want %v", err, errChanged)
	}
}

func TestTooMany(t *testing.T) {
	if _, err := New(Config{Agent: newOffice(), File: strings.NewReader(rows(maxRows + 1)), User: "a", Tell: func(Row, Verdict) {}}); !errors.Is(err, errTooMany) {
		t.Errorf("got %v", err)
	}
}

// 100,000 rows, each of them with another mistake, take little memory.
func TestMemory(t *testing.T) {
	var b strings.Builder
	b.WriteString("entity_id,label,location\n")
	for i := range 100000 {
		fmt.Fprintf(&b, "d-%06d,%s,%s\n", i, strings.Repeat("l", 20), strings.Repeat("o", 20))
	}
	file := strings.NewReader(b.String())
	o := newOffice()
	n := 0
	o.answer = func(cpns.EntityID) (agent.Outcome, bool) {
		n++
		return agent.Outcome{Result: agent.ResultFailed, Detail: fmt.Sprintf("reason %d of its own", n)}, true
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	batch, err := New(Config{Agent: &forgetful{o}, File: file, User: "alice", Tell: func(Row, Verdict) {}, Say: func(string) {},
		Hash: func(context.Context, cpns.UserID) (cpns.PasswordHash, error) { return cpns.PasswordHash{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if batch.Counts()[agent.ResultFailed] != 100000 {
		t.Errorf("got %v", batch.Counts())
	}
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 4<<20 {
		t.Errorf("the batch holds %d bytes", used)
	}
	runtime.KeepAlive(batch)
}

// forgetful is an office that keeps nothing of whom it was asked for.
type forgetful struct{ *office }

func (f *forgetful) Provision(ctx context.Context, r agent.ProvisionRequest, step func(agent.Step), done func(agent.Outcome)) error {
	err := f.office.Provision(ctx, r, step, done)
	clear(f.asked)
	f.requests = nil
	return err
}

// TestHold: rows whose keys are kept for the button are done with that; those that are
// kept, and are now to be given without, are asked for again.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		o.known["a"] = agent.PNE{Entity: "a", User: "alice", State: agent.StateAssigned, Held: true, Note: "kept"}
		o.known["b"] = agent.PNE{Entity: "b", User: "alice", State: agent.StateAssigned}
		o.answer = func(e cpns.EntityID) (agent.Outcome, bool) { return agent.Outcome{Result: agent.ResultHeld}, true }
		run := func(hold bool) map[string]Result {
			got := map[string]Result{}
			b, err := New(Config{Agent: o, File: strings.NewReader("entity_id\na\nb\nc\n"), User: "alice", Hold: hold, Wait: time.Minute,
				Hash: func(context.Context, cpns.UserID) (cpns.PasswordHash, error) { return cpns.PasswordHash{}, nil },
				Tell: func(r Row, v Verdict) { got[string(r.Entity)] = v.Result }, Say: func(string) {}})
			if err == nil {
				err = b.Run(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := run(true); got["a"] != agent.ResultHeld || got["b"] != agent.ResultHeld || got["c"] != agent.ResultHeld || o.asked["a"] != 0 || o.asked["b"] != 1 {
			t.Errorf("kept: %v, asked for %v", got, o.asked)
		}
		o.answer = func(e cpns.EntityID) (agent.Outcome, bool) {
			return agent.Outcome{Result: agent.ResultDelivered}, true
		}
		if got := run(false); got["a"] != agent.ResultDelivered || o.asked["a"] != 1 {
			t.Errorf("given: %v, asked for %v", got, o.asked)
		}
	})
}

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres/pgtest"
	"cpns.example.net/pngw/internal/durable"
	"cpns.example.net/pngw/scripts/gbalab/lab"
	"cpns.example.net/pngw/transport"
	"cpns.example.net/pngw/transport/https"
)

func TestMain(m *testing.M) {
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	testscript.Main(tests{m}, map[string]func(){
		"cpns-server": mainOrRemote,
		"cpns-server-in-1970": func() {
			os.Exit(execute(func() time.Time { return time.Unix(3600, 0) }))
		},
	})
}

// tests are all tests, and what is to be cleared up after them.
type tests struct{ *testing.M }

func (t tests) Run() int {
	defer pgtest.StopShared()
	return t.M.Run()
}

// The scripts in testdata drive the real program. Beside testscript's commands there
// are:
//
//	exits CODE COMMAND ARGS...                   runs the command, wants its exit code
//	serving FILE                                 waits until FILE says where a server listens, puts it into $URL, and HOST:PORT of it into $AT
//	administered FILE                            waits until FILE says where the admin API is, puts it into $URL
//	begun DIR                                    waits until an import into DIR has written something
//	until TEXT FILE                              waits until FILE has the text
//	assign USER PASSWORDFILE GATEWAY PSKFILE PNE WANT   asks $URL for EUKeys as a gateway, wants a status or an HTTP code
//	expired DIR                                  puts a server certificate into DIR that has ended
//	mode FILE MODE                               wants a file's mode
//
// and those of step0_test.go and gba_test.go.
func TestScripts(t *testing.T) {
	p := scriptParams()
	p.Dir = "testdata"
	testscript.Run(t, p)
}

func scriptParams() testscript.Params {
	return testscript.Params{
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Values[simKey{}] = new(*lab.Subscriber)
			env.Values[simsKey{}] = new([]*lab.Subscriber)
			env.Setenv("TODAY", day(time.Now()))
			return nil
		},
		Condition: func(name string) (bool, error) { return false, nil }, // remote, see remote_test.go
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "serving": serving, "administered": administered, "begun": begun, "until": until, "assign": assign, "expired": expired, "mode": mode,
			"unit": unit, "enrol": enrol, "psk1": psk1, "operator": mobileOperator, "sim": sim, "bootstrap": bootstrap,
		},
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if exit, failed := errors.AsType[*exec.ExitError](ts.Exec(args[1], args[2:]...)); failed {
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// await waits for a condition.
func await(ts *testscript.TestScript, what string, holds func() bool) {
	for begin := time.Now(); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 2*time.Minute {
			ts.Fatalf("%s: not within two minutes", what)
		}
	}
}

func content(ts *testscript.TestScript, file string) string {
	b, err := os.ReadFile(ts.MkAbs(file))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		ts.Check(err)
	}
	return string(b)
}

func administered(ts *testscript.TestScript, neg bool, args []string) {
	var url string
	await(ts, "the admin API", func() bool {
		_, after, _ := strings.Cut(content(ts, args[0]), "admin API on ")
		line, _, ended := strings.Cut(after, "\n")
		url = line
		return ended
	})
	ts.Setenv("URL", url)
	ts.Setenv("ADDRESS", strings.TrimPrefix(url, "https://"))
}

// begun waits until an import has written something.
func begun(ts *testscript.TestScript, neg bool, args []string) {
	await(ts, "an import", func() bool {
		err := ts.Exec("cpns-server", "audit", "--data", args[0])
		return err == nil && strings.Contains(ts.ReadFile("stdout"), string(server.EventPNEsImported))
	})
}

func serving(ts *testscript.TestScript, neg bool, args []string) {
	var url string
	await(ts, "serving", func() bool {
		line, _, ended := strings.Cut(content(ts, args[0]), "\n")
		url, _ = strings.CutPrefix(line, "listening on ")
		return ended
	})
	ts.Setenv("URL", url)
	ts.Setenv("AT", strings.TrimPrefix(url, "https://"))
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	await(ts, args[0], func() bool { return strings.Contains(content(ts, args[1]), args[0]) })
}

func assign(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 6 {
		ts.Fatalf("usage: assign USER PASSWORDFILE GATEWAY PSKFILE PNE WANT")
	}
	user, gateway, pne, want := cpns.UserID(args[0]), cpns.PSKIdentity(args[2]), cpns.EntityID(args[4]), args[5]
	psk, err := hex.DecodeString(strings.TrimSpace(ts.ReadFile(args[3])))
	ts.Check(err)
	hash := cpns.HashPassword(user, []byte(strings.TrimSuffix(ts.ReadFile(args[1]), "\n")))
	req := cpns.EUKeyAssignmentRequest{EntityID: pne, UserID: user, Time: uint64(time.Now().Unix())}
	var iv [cpns.IVSize]byte
	rand.Read(req.RandPNGW[:])
	rand.Read(iv[:])
	req.UserAuthenticationData = cpns.UserAuthenticationData(&hash, &req.RandPNGW, req.Time)
	body, err := cpns.SealRequest(psk, gateway, iv, &req)
	ts.Check(err)
	if got := ask(ts, psk, gateway, body); got != want {
		ts.Fatalf("got %s, want %s", got, want)
	}
}

// ask posts a request as a gateway does and says what came of it.
func ask(ts *testscript.TestScript, psk cpns.PSK1, gateway cpns.PSKIdentity, body []byte) string {
	client, err := https.New(https.Config{
		Server: ts.Getenv("URL"), CAFile: ts.MkAbs("data/ca.pem"), Path: cpns.AssignmentPath, ContentType: cpns.ContentType,
		MaxResponse: cpns.MaxResponseBody, Timeout: 10 * time.Second,
	})
	ts.Check(err)
	answer, err := client.Post(context.Background(), body)
	if refused, ok := errors.AsType[*transport.RefusedError](err); ok {
		return strconv.Itoa(refused.Status)
	}
	ts.Check(err)
	response, err := cpns.OpenResponse(psk, gateway, body, answer.Body)
	ts.Check(err)
	ts.Logf("%v, epoch %d, %d EUKeys", response.Status, response.Epoch, len(response.EUKeys))
	return response.Status.String()
}

func expired(ts *testscript.TestScript, neg bool, args []string) {
	d := dataFolder(ts.MkAbs(args[0]))
	ca, err := os.ReadFile(d.caCert())
	ts.Check(err)
	caKey, err := os.ReadFile(d.caKey())
	ts.Check(err)
	_, old, err := readKeyPair(d.serverCert(), d.serverKey())
	ts.Check(err)
	pair, err := newServerCert(keyPair{ca, caKey}, old.PrivateKey.(*ecdsa.PrivateKey), ownHosts, time.Now().AddDate(-serverYears, 0, -3))
	ts.Check(err)
	ts.Check(durable.Replace(d.serverCert(), pair.cert, 0o644))
}

func mode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", filepath.Base(args[0]), got, args[1])
	}
}

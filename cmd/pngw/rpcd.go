package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/board/uci"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/hardening"
)

var rpcdCommand = command.Command{
	Name: "rpcd", Options: "[--user NAME]", Args: "list|call [METHOD]", Summary: "answer OpenWrt's rpcd, for LuCI", Hidden: true,
	About:   `Answers rpcd as its executable plugins do: list prints the methods, call METHOD reads its arguments from standard input, as JSON, and prints the answer. An answer that says no has a field error. Who may call which method is said by an ACL of rpcd; docs/openwrt.md has them all.`,
	Example: "pngw rpcd list",
	Setup: func(f *flag.FlagSet) command.Run {
		user := f.String("user", "", "as root: judge the configuration as the user `NAME`, who runs the agent")
		return func(ctx context.Context, c *command.Console, args []string) error {
			switch {
			case len(args) == 1 && args[0] == "list":
				c.Printf("%s\n", rpcdMethods)
				return nil
			case len(args) == 2 && args[0] == "call":
				return answerRPCD(ctx, c, args[1], *user)
			}
			return command.Misused("want list, or call and a method")
		}
	},
}

// rpcdMethods are the methods with their arguments, each by an example of its type.
const rpcdMethods = `{"status":{},"devices":{"search":"","state":"","offset":0,"entity_ids":[]},"discovered":{},"check":{},` +
	`"salt":{"user":""},"provision":{"user":"","password_hash":"","entity_ids":[],"again":false},"authenticate":{"entity_ids":[]},` +
	`"forget":{"entity_ids":[]},"readmit":{"entity_ids":[]},"enrol":{"code":""},"service":{"action":""}}`

// rpcdRequest are the arguments of all methods.
type rpcdRequest struct {
	Session  string   `json:"ubus_rpc_session"` // uhttpd's word, nobody else's
	Search   string   `json:"search"`
	State    string   `json:"state"`
	Offset   int      `json:"offset"`
	User     string   `json:"user"`
	Hash     string   `json:"password_hash"`
	Entities []string `json:"entity_ids"`
	Again    bool     `json:"again"` // devices that have their keys are meant, and those under alarm
	Code     string   `json:"code"`
	Action   string   `json:"action"`
}

// Bounds of a call: rpcd hands over what a pipe holds, and kills after 30 seconds.
const (
	maxRPCD  = 64 << 10 // bytes of arguments
	timeRPCD = 25 * time.Second
	pageRPCD = 100 // devices in an answer
	proofFor = 5 * time.Second
)

// answerRPCD answers one call. It fails only if it could not answer; errors are in the
// answer, because rpcd ignores a plugin's exit code.
func answerRPCD(ctx context.Context, c *command.Console, method, user string) error {
	if err := hardening.Memory(); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(c.Stdin, maxRPCD))
	defer clear(text)
	r := rpcd{c: c, user: user}
	if err != nil || json.Unmarshal(text, &r.rpcdRequest) != nil {
		return errors.New("reading the arguments: not those of a method") // the decoder's error might quote a secret
	}
	ctx, cancel := context.WithTimeout(ctx, timeRPCD)
	defer cancel()
	v, err := r.call(ctx, method)
	if err != nil {
		v = map[string]any{"error": err.Error()}
	}
	return json.NewEncoder(c.Stdout).Encode(v)
}

// rpcd is one call.
type rpcd struct {
	c    *command.Console
	user string // who runs the agent
	rpcdRequest
}

func (r *rpcd) call(ctx context.Context, method string) (any, error) {
	if strings.Contains(method, `"`) || !strings.Contains(rpcdMethods, `"`+method+`":{`) {
		return nil, fmt.Errorf("there is no method %q", method)
	}
	switch method {
	case "check":
		return r.check(ctx)
	case "service":
		return r.service(ctx)
	case "salt":
		u, err := cpns.ParseUserID(r.rpcdRequest.User)
		return map[string]any{"salt": cpns.PasswordSalt(u)}, err
	}
	client, err := newClient(r.c)
	if err != nil {
		return nil, err
	}
	v, err := r.ask(ctx, client, method)
	return v, explain(r.c, err)
}

// ask passes the call on to the agent.
func (r *rpcd) ask(ctx context.Context, client *api.Client, method string) (any, error) {
	switch method {
	case "status":
		return client.Status(ctx)
	case "discovered":
		found, err := client.Discovered(ctx)
		return map[string]any{"total": len(found), "discovered": found[:min(len(found), pageRPCD)]}, err
	case "devices":
		return r.devices(ctx, client)
	case "enrol":
		return client.Enrol(ctx, r.Code, false)
	}
	entities, err := parseEntities(r.Entities)
	if err != nil {
		return nil, err
	}
	switch method {
	case "provision":
		return r.provision(ctx, client, entities)
	case "authenticate":
		proofs := []agent.Proof{}
		err = client.Authenticate(ctx, entities, proofFor, func(p agent.Proof) { proofs = append(proofs, p) })
		return map[string]any{"results": proofs}, err
	}
	do := client.Forget
	if method == "readmit" {
		do = client.Readmit
	}
	for _, e := range entities {
		if err := do(ctx, e); err != nil {
			return nil, err
		}
	}
	return map[string]any{}, nil
}

// devices returns one page of the devices that match.
func (r *rpcd) devices(ctx context.Context, client *api.Client) (any, error) {
	all, err := client.List(ctx)
	if err != nil {
		return nil, err
	}
	fit := []agent.PNE{}
	for _, p := range all {
		if (r.Entities == nil || slices.Contains(r.Entities, string(p.Entity))) && (r.State == "" || r.State == string(p.State)) && (strings.Contains(string(p.Entity), r.Search) || strings.Contains(string(p.User), r.Search) || p.Link == r.Search) {
			fit = append(fit, p)
		}
	}
	from := min(max(r.Offset, 0), len(fit))
	return map[string]any{"total": len(all), "fit": len(fit), "devices": fit[from:min(from+pageRPCD, len(fit))]}, nil
}

// provision requests keys from the server, and does not wait for the devices: the agent
// delivers the keys, and the caller can look at the devices' states.
func (r *rpcd) provision(ctx context.Context, client *api.Client, entities []cpns.EntityID) (any, error) {
	req := agent.ProvisionRequest{Entities: entities, Reassign: r.Again}
	var err error
	if req.User, err = cpns.ParseUserID(r.rpcdRequest.User); err != nil {
		return nil, err
	}
	if req.PasswordHash, err = api.ParsePasswordHash(r.Hash); err != nil {
		return nil, err
	}
	defer clear(req.PasswordHash[:])
	held, outcomes := []cpns.EntityID{}, []agent.Outcome{}
	if !r.Again {
		all, err := client.List(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			if i := slices.Index(req.Entities, p.Entity); i >= 0 && p.State != agent.StateRequested && p.State != agent.StateUsedUp {
				held, req.Entities = append(held, p.Entity), slices.Delete(req.Entities, i, i+1)
			}
		}
	}
	if len(req.Entities) > 0 {
		err = client.Provision(ctx, req, func(agent.Step) {}, func(o agent.Outcome) { outcomes = append(outcomes, o) })
	}
	return map[string]any{"held": held, "outcomes": outcomes}, err
}

// check judges the configuration as it would be if what the caller has staged were
// applied: LuCI is not told what the init script says to it, and the agent goes on as it is.
func (r *rpcd) check(ctx context.Context) (any, error) {
	// rpcd keeps what a session has staged in a folder that is named after it.
	if id, err := hex.DecodeString(r.Session); err != nil || len(id) != 16 {
		return nil, errors.New("the call is of no session")
	}
	file := r.c.Value("config")
	text, err := exec.CommandContext(ctx, "uci", "-c", filepath.Dir(file), "-t", "/var/run/rpcd/uci-"+r.Session, "export", filepath.Base(file)).Output()
	if err != nil {
		return nil, fmt.Errorf("reading what is staged: uci export: %w", err)
	}
	// A file has no package line. What stands in its place keeps the lines' numbers.
	text = bytes.TrimPrefix(text, []byte("package "+filepath.Base(file)))
	if err := actAs(r.c, r.user, ""); err != nil {
		return nil, err
	}
	cfg, err := config.Parse(bytes.NewReader(text), file)
	missing := false
	if err == nil {
		_, err = newParts(ctx, cfg, lookInStore, slog.New(slog.DiscardHandler))
		e := new(command.Exit)
		missing = errors.As(err, &e) && e.Code == exitMissing
	}
	return map[string]any{"missing": missing, "faults": faults(text, err)}, nil
}

// A fault is one in a section of the configuration.
type rpcdFault struct {
	Section string `json:"section"` // its type and name, "" for the whole file
	Text    string `json:"text"`
}

// faults are what err joins, by the sections of text in place of its lines, which
// nobody sees in LuCI.
func faults(text []byte, err error) []rpcdFault {
	all := []rpcdFault{}
	if e := new(command.Exit); errors.As(err, &e) {
		err = e.Err
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range j.Unwrap() {
			all = append(all, faults(text, err)...)
		}
		return all
	}
	if err == nil {
		return all
	}
	f := rpcdFault{Text: err.Error()}
	if e := new(uci.SyntaxError); errors.As(err, &e) {
		f.Text = e.Msg
		for n, line := range strings.Split(string(text), "\n") {
			if section, ok := strings.CutPrefix(line, "config "); ok && n < e.Line {
				f.Section = strings.ReplaceAll(section, "'", "")
			}
		}
	}
	return append(all, f)
}

// service has the init script do something, and tells what it says.
func (r *rpcd) service(ctx context.Context) (any, error) {
	switch r.Action {
	case "start", "stop", "restart", "reload":
	default:
		return nil, fmt.Errorf("%q: want start, stop, restart or reload", r.Action)
	}
	script := exec.CommandContext(ctx, initScript, r.Action)
	script.WaitDelay = time.Second // it may leave something behind that holds its output
	said, err := script.CombinedOutput()
	return map[string]any{"ok": err == nil, "said": strings.TrimSpace(string(said))}, nil
}

//go:build linux

package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// factory gives devices their TK: one file for the device, as it is burnt in,
// and a line for the server's operator.
func factory(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "factory ENTITY…")
	csv, err := os.OpenFile(r.path("tks.csv"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer csv.Close()
	if info, err := csv.Stat(); err == nil && info.Size() == 0 {
		fmt.Fprintln(csv, "entity_id,tk")
	}
	for _, entity := range args {
		tk := randomHex(32)
		ts.Check(os.WriteFile(r.path(entity+".tk"), []byte(tk+"\n"), 0o600))
		fmt.Fprintf(csv, "%s,%s\n", entity, tk)
	}
}

func server(ts *testscript.TestScript, r *rig, args []string) {
	for _, line := range []string{
		"cpns-server init --data server",
		"cpns-server user add --password-file - --data server alice <alice.pw",
		"cpns-server gateway add --data server gw-0001 --psk-out psk1",
		"cpns-server pne import --data server tks.csv",
	} {
		r.run(ts, 0, strings.Fields(line))
	}
	r.start(ts, "server", "cpns-server", append([]string{"run", "--data", "server", "--listen", r.serve}, args...)...)
	eventually(ts, "the server to listen", func() bool { return answers("tcp", r.serve) })
}

var links = map[string]string{
	"rs232":  "\noption type 'serial'\noption device 'WORK/rs232.gw'\n",
	"broker": "\noption type 'mqtt'\noption url 'mqtt://MQTT'\n",
}

func gateway(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "gateway LINK…")
	config := `config gateway 'main'
option id 'gw-0001'
option server 'https://SERVER'
option ca 'WORK/server/ca.pem'
option psk_file 'WORK/psk1'
option store 'WORK/keys/store'
option root_key 'WORK/root.key'
option socket 'WORK/socket'
option log_level 'debug'
`
	for _, link := range args {
		config += "config link '" + link + "'" + links[link]
	}
	config = strings.NewReplacer("WORK", r.work, "SERVER", r.serve, "MQTT", r.mqtt).Replace(config)
	ts.Check(os.WriteFile(r.path("pngw.conf"), []byte(config), 0o600))
	// A folder above the store, so that a script can put a small disk there.
	if err := os.Mkdir(r.path("keys"), 0o700); err != nil && !os.IsExist(err) {
		ts.Fatalf("%v", err)
	}
	r.run(ts, 0, []string{"pngw", "init", "--config", "pngw.conf"})
	r.start(ts, "pngw", "pngw", "run", "--config", "pngw.conf")
	eventually(ts, "the gateway to listen", func() bool { return answers("unix", r.path("socket")) })
}

// router is a gateway of which nothing is configured but where things lie: NAME.conf,
// and a store of its own.
func router(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "router NAME [OPTION=VALUE…] [LINK…]")
	main, rest := "config gateway 'main'\noption psk_file 'WORK/none'\n", ""
	for option, file := range map[string]string{"socket": ".sock", "store": ".keys", "root_key": ".root"} {
		main += "option " + option + " 'WORK/" + args[0] + file + "'\n"
	}
	for _, arg := range args[1:] {
		if option, value, is := strings.Cut(arg, "="); is {
			main += "option " + option + " '" + value + "'\n"
		} else {
			rest += "config link '" + arg + "'" + links[arg]
		}
	}
	config := strings.NewReplacer("WORK", r.work, "MQTT", r.mqtt).Replace(main + rest)
	ts.Check(os.WriteFile(r.path(args[0]+".conf"), []byte(config), 0o600))
	r.run(ts, 0, []string{"pngw", "init", "--config", args[0] + ".conf"})
}

func broker(ts *testscript.TestScript, r *rig, _ []string) {
	_, port, err := net.SplitHostPort(r.mqtt)
	ts.Check(err)
	config := "listener " + port + " 127.0.0.1\nallow_anonymous true\nlog_dest stdout\nuser root\nmax_queued_messages 0\n"
	ts.Check(os.WriteFile(r.path("mosquitto.conf"), []byte(config), 0o644))
	r.start(ts, "broker", "mosquitto", "-c", r.path("mosquitto.conf"))
	eventually(ts, "the broker to listen", func() bool { return answers("tcp", r.mqtt) })
}

func listens(ts *testscript.TestScript, r *rig, args []string) {
	usage(ts, args, 1, "listens ADDRESS")
	eventually(ts, "something to listen at "+args[0], func() bool { return answers("tcp", args[0]) })
}

func answers(network, address string) bool {
	conn, err := net.Dial(network, address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return hex.EncodeToString(b)
}

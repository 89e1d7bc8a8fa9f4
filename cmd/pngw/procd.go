package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/board"
	"cpns.example.net/pngw/internal/command"
)

var procdCommand = command.Command{
	Name: "procd", Options: "[--shown DIR]", Summary: "print what OpenWrt's init script has to know", Hidden: true,
	About: `Prints what OpenWrt's init script has to know of the configuration, as it is in the file and not as uci is about to change it. A line each, a word and its value:

 enabled 0|1       whether the agent is to run
 env NAME=VALUE    its environment
 file PATH         a file that it reads
 ro PATH           a folder that it reads
 rw PATH           a file or folder that it writes
 hooks PATH        the folder of hooks, where there is one: hooks are programs
 program PATH      the program that asks the SIM
 usb VVVV:PPPP     a device that a USB link is for
 usb class         any device with the protocol's class
 led PATH          the folder of a light
 input PATH        a device of the button's
 folder PATH GROUP         a folder in memory, for a file that GROUP may read
 signal FIFO SERVICE       where the agent asks for SIGHUP to SERVICE`,
	Example: "pngw procd --config /etc/config/pngw",
	Setup: func(f *flag.FlagSet) command.Run {
		shown := f.String("shown", "", "leave out what is in `DIR`, all of which the agent is shown anyway")
		return func(_ context.Context, c *command.Console, _ []string) error { return tellProcd(c, *shown) }
	},
}

func tellProcd(c *command.Console, shown string) error {
	if service, err := config.LoadService(c.Value("config")); err == nil && !service.Enabled {
		c.Printf("enabled 0\n")
		return nil
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	t := telling{shown: shown, told: map[string]bool{}, names: map[string]bool{}}
	t.tell("enabled", "1")
	for _, v := range cfg.Service.Env() {
		t.tell("env", v)
	}
	t.gateway(&cfg.Gateway)
	for i := range cfg.Links {
		if l := &cfg.Links[i]; l.Enabled {
			t.link(l)
		}
	}
	for i := range cfg.Apps {
		if a := &cfg.Apps[i]; a.Enabled && a.Type == config.AppFile {
			t.application(a)
		}
	}
	if err := errors.Join(t.faults...); err != nil {
		return &command.Exit{Code: command.Usage, Err: err}
	}
	_, err = fmt.Fprint(c.Stdout, t.text.String())
	return err
}

// telling collects the lines for the init script, and errors for paths that cannot be
// passed to it.
type telling struct {
	text   strings.Builder
	shown  string          // a folder
	told   map[string]bool // paths, as they were given
	names  map[string]bool // of paths, as procd's shell functions keep them
	faults []error
}

func (t *telling) tell(word, value string) {
	fmt.Fprintf(&t.text, "%s %s\n", word, value)
}

// path tells a path, once; "" is none. fault makes an error that names its line.
func (t *telling) path(word, path string, fault func(error) error) {
	if path == "" {
		return
	}
	path = filepath.Clean(path)
	if t.shown != "" && strings.HasPrefix(path, t.shown+"/") && word != "hooks" && word != "program" {
		return
	}
	// ujail takes what is behind a colon for the place to show it at.
	if strings.ContainsAny(path, ":\n") {
		t.faults = append(t.faults, fault(fmt.Errorf("%q: OpenWrt's jail takes no path with a colon: want another name", path)))
		return
	}
	if t.told[path] {
		return
	}
	t.told[path] = true
	// procd's shell functions keep a path under its letters and digits. Two that
	// have the same are made different by a slash more.
	for t.names[letters(path)] {
		path = "/" + path
	}
	t.names[letters(path)] = true
	t.tell(word, path)
}

func letters(path string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '_' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z') {
			return r
		}
		return '_'
	}, path)
}

func (t *telling) gateway(g *config.Gateway) {
	of := func(option string) func(error) error {
		return func(err error) error { return g.Fault(option, err) }
	}
	t.path("file", g.PSKFile, of("psk_file"))
	t.path("file", g.CA, of("ca"))
	t.path("ro", g.RootKey, of("root_key"))
	t.path("ro", g.RootKey+board.BindingExt, of("root_key"))
	t.path("rw", g.Store, of("store"))
	t.path("rw", g.AuditDir, of("audit_dir"))
	t.path("rw", filepath.Dir(g.Socket), of("socket"))
	if info, err := os.Stat(g.HookDir); err == nil && info.IsDir() {
		t.path("hooks", g.HookDir, of("hook_dir"))
	}
	t.signs(g, of)
	if g.PSKSource == config.SourceGBA {
		t.sim(&g.GBA.SIM, of("sim"))
		t.path("file", g.GBA.CA, of("gba_ca"))
	}
}

// signs tells the lights and the button's devices, for the init script to open to the
// agent. Of lights all devices are shown in the jail: one that comes back is another
// folder. What may be written there is by the files' own modes.
func (t *telling) signs(g *config.Gateway, fault func(string) func(error) error) {
	router := board.New("/")
	for _, name := range []string{g.LED, g.AlarmLED} {
		if name == "" {
			continue
		}
		if dir, err := router.FindLED(name); err == nil {
			t.tell("led", dir)
		}
		t.path("rw", "/sys/devices", fault("led"))
	}
	if g.Button == "" {
		return
	}
	button, err := buttonConfig(g)
	if err != nil {
		t.faults = append(t.faults, fault("button")(err))
	}
	for _, in := range router.Inputs(&button) {
		t.tell("input", in.Node)
	}
	if _, err := os.Stat("/dev/input"); err == nil {
		t.path("ro", "/dev/input", fault("button"))
	}
}

// modems are what programs ask SIMs by, QMI and MBIM.
var modems = []string{"/dev/cdc-wdm*", "/dev/wwan*"}

func (t *telling) sim(s *config.SIM, fault func(error) error) {
	if s.Program == "" {
		t.line(s.Modem, fault)
		return
	}
	t.path("program", s.Program, fault)
	for _, pattern := range modems {
		devices, _ := filepath.Glob(pattern)
		for _, device := range devices {
			t.path("rw", device, fault)
		}
	}
}

// application tells what one that reads a file needs. What lies elsewhere than where the
// init script makes it is there, or is not, by its owner's will.
func (t *telling) application(a *config.Application) {
	of := func(option string) func(error) error {
		return func(err error) error { return a.Fault(option, err) }
	}
	dir := filepath.Dir(a.Path)
	if own := config.ApplicationFolder + "/" + a.Name; dir == own {
		t.tell("folder", own+" "+a.Group)
	}
	t.path("rw", dir, of("path"))
	if a.Notify == config.ApplicationFolder+"/"+a.Name+".signal" {
		t.tell("signal", a.Notify+" "+a.Service)
	}
	t.path("rw", a.Notify, of("notify"))
	if a.PID != "" { // the folder: its file is another after each start
		t.path("ro", filepath.Dir(a.PID), of("pid_file"))
	}
}

// serialNames is where the package's hotplug script puts names of serial lines.
const serialNames = "/dev/serial"

func (t *telling) link(l *config.Link) {
	switch l.Type {
	case config.Serial:
		t.line(l.Device, l.Fault)
	case config.USB:
		const buses = "/dev/bus/usb"
		if _, err := os.Stat(buses); err == nil {
			t.path("rw", buses, l.Fault)
		}
		if l.USBID == "" {
			t.tell("usb", "class")
		} else if f := strings.Split(l.USBID, ":"); len(f) >= 2 { // and perhaps the interface
			t.tell("usb", strings.ToLower(f[0]+":"+f[1])) // as the kernel writes it
		}
	case config.MQTT:
		for _, path := range []string{l.CA, l.Cert, l.Key, l.PasswordFile} {
			t.path("file", path, l.Fault)
		}
	}
}

// line tells a serial line that is there: the device itself, and the name that
// leads to it. A jail has only those devices that were there when it was made; with
// one more, or another number behind the name, procd makes a new one.
func (t *telling) line(name string, fault func(error) error) {
	device, err := filepath.EvalSymlinks(name)
	if err != nil {
		return
	}
	t.path("rw", device, fault)
	switch {
	case device == filepath.Clean(name):
	case strings.HasPrefix(name, serialNames+"/"):
		t.path("ro", serialNames, fault)
	default:
		t.path("rw", name, fault)
	}
}

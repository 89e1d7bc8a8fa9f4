package config

import (
	"fmt"

	"cpns.example.net/pngw/board/uci"
	"cpns.example.net/pngw/cpns"
)

// Application is a section of type application: what devices speak with by keys of their
// own once they have authenticated.
type Application struct {
	Name    string
	Enabled bool
	Type    string // AppFile or AppHook
	Label   string // of its keys
	Path    string // the file that it reads; "" with AppHook
	PID     string // a file with its process's number, "" for none
	Notify  string // a FIFO, "" for none
	Group   string // of the file's folder, for OpenWrt's init script
	Service string // that is sent SIGHUP, for OpenWrt's init script

	section uci.Section
}

// Types of application.
const (
	AppFile = "psk_file" // reads a file of identities and keys
	AppHook = "hook"     // hooks are handed each key
)

// ApplicationFolder is where OpenWrt's init script makes what applications need, in memory.
const ApplicationFolder = "/var/run/pngw-applications"

func parseApplication(s uci.Section) (Application, error) {
	if s.Name == "" || len(s.Name) > maxLinkName {
		return Application{}, s.Errorf("an application needs a name of at most %d letters, digits and _, such as: config application 'mqtt'", maxLinkName)
	}
	d := &decoder{uci.NewDecoder(s)}
	a := Application{
		Name:    s.Name,
		Enabled: d.Bool("enabled", true),
		Type:    d.String("type", AppFile),
		Label:   d.String("label", cpns.ApplicationTLS13),
		section: s,
	}
	if a.Label != cpns.ApplicationTLS13 && a.Label != cpns.ApplicationTLS12 {
		d.Errorf("label", "%q: want %s or %s, as the application's listener speaks TLS 1.3 or 1.2", a.Label, cpns.ApplicationTLS13, cpns.ApplicationTLS12)
	}
	switch a.Type {
	case AppFile:
		a.Path = d.path("path", ApplicationFolder+"/"+s.Name+"/psk")
		a.PID = d.path("pid_file", "")
		notify := ""
		if a.PID == "" {
			notify = ApplicationFolder + "/" + s.Name + ".signal"
		}
		a.Notify = d.path("notify", notify)
		a.Group = d.String("group", "mosquitto")
		a.Service = d.String("service", "mosquitto")
		for _, name := range []string{a.Group, a.Service} {
			if !plainName(name) {
				return a, fault(s, "", fmt.Errorf("%q: want the name of a group and of a service: letters, digits, _ and -", name))
			}
		}
	case AppHook:
	default:
		return a, fault(s, "type", fmt.Errorf("%q: want %s or %s", a.Type, AppFile, AppHook))
	}
	return a, d.Err()
}

// plainName reports whether a name can go into a shell script as it is.
func plainName(name string) bool {
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_':
		case c == '-' && name[0] != '-':
		default:
			return false
		}
	}
	return name != ""
}

// Fault is Link.OptionFault for an application.
func (a *Application) Fault(option string, err error) error { return fault(a.section, option, err) }

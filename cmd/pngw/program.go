package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"

	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/buildinfo"
	"cpns.example.net/pngw/internal/command"
)

// Exit codes, which scripts rely on, beside those that all programs have.
const (
	exitMissing     = 3 // init, run: in order, but a person has to bring something
	exitPending     = 3 // provision: assigned, not yet delivered; enrol: not yet approved
	exitRefused     = 4 // provision, enrol: the server refused
	exitUnreachable = 5 // provision, enrol: there was no server to ask
)

func program() *command.Program {
	return &command.Program{
		Name:    "pngw",
		Summary: "assigns EUKeys to headless devices behind this gateway",
		Date:    buildinfo.Date(buildTime),
		Common: func(f *flag.FlagSet) {
			file := config.DefaultFile
			f.Var((*configFile)(&file), "config", "the configuration `FILE`")
		},
		Commands: []command.Command{
			initCommand, enrolCommand, runCommand,
			provisionCommand, listCommand, showCommand, forgetCommand, discoveredCommand,
			authenticateCommand, resolveCommand,
			webPINCommand, webCACommand,
			labelCommand, linksCommand, statusCommand, watchCommand, doctorCommand, auditCommand, versionCommand, procdCommand, rpcdCommand,
		},
		Notes: `exit codes: 0 done, 1 failed, 2 usage or configuration; of init and run also 3 something is still missing; of provision also 3 assigned but not yet delivered, of enrol also 3 not yet approved, and of both 4 refused by the server, 5 no server.`,
		Lists: []command.List{{Name: "ids", Word: "ENTITY_ID", All: knownIDs}},
	}
}

// configFile is the value of --config.
type configFile string

func (f *configFile) String() string { return string(*f) }

func (f *configFile) Set(v string) error {
	if v == "" {
		return errors.New("no file given")
	}
	*f = configFile(v)
	return nil
}

// loadConfig reads the configuration. Mistakes in it are usage errors, whatever
// the command.
func loadConfig(c *command.Console) (*config.Config, error) {
	cfg, err := config.Load(c.Value("config"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: write it, or say where it is by --config", err)
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w: be root, or have its owner let you read it", err)
	}
	if err != nil {
		return nil, &command.Exit{Code: command.Usage, Err: err}
	}
	return cfg, nil
}

// oneEntity is the device that the only argument names.
func oneEntity(args []string) (cpns.EntityID, error) {
	e, err := cpns.ParseDevice(args[0])
	if err != nil {
		return "", command.Misused("%v", err)
	}
	return e, nil
}

// knownIDs tells the devices that the agent serves, and those that it has heard of.
func knownIDs(ctx context.Context, c *command.Console, tell func(string)) error {
	client, err := newClient(c)
	if err != nil {
		return err
	}
	pnes, err := client.List(ctx)
	if err != nil {
		return explain(c, err)
	}
	for _, p := range pnes {
		tell(string(p.Entity))
	}
	found, err := client.Discovered(ctx)
	if err != nil {
		return explain(c, err)
	}
	for _, d := range found {
		tell(string(d.Entity))
	}
	return nil
}

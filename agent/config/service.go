package config

import (
	"fmt"
	"os"
	"strconv"

	"cpns.example.net/pngw/board/uci"
)

// Service is the section of type service. It is for OpenWrt's init script, which
// has it from the command "pngw procd"; the agent takes nothing from it.
type Service struct {
	Enabled    bool // the agent is to run
	GoMemLimit string
	GoGC       string
	GoMaxProcs int // 0 for all

	section uci.Section
}

// What the Go runtime has where the section does not say otherwise.
const (
	DefaultMemLimit = "12MiB"
	defaultGC       = "100"
)

func parseService(s uci.Section) (Service, error) {
	d := uci.NewDecoder(s)
	service := Service{
		Enabled:    d.Bool("enabled", false),
		GoMemLimit: d.String("gomemlimit", DefaultMemLimit),
		GoGC:       d.String("gogc", defaultGC),
		GoMaxProcs: d.Int("gomaxprocs", 0, 1, 256),
		section:    s,
	}
	// The runtime takes what it does not understand here for 100.
	if service.GoGC != "off" && !isNumber(service.GoGC) {
		d.Errorf("gogc", "%q: want a percentage such as 100, or off", service.GoGC)
	}
	return service, d.Err()
}

// LoadService reads the section of type service alone: whether the agent is to run
// is known before the rest of the file is right.
func LoadService(file string) (Service, error) {
	f, err := os.Open(file)
	if err != nil {
		return Service{}, fmt.Errorf("reading the configuration: %w", err)
	}
	defer f.Close()
	sections, err := uci.Parse(f, file)
	if err != nil {
		return Service{}, err
	}
	for _, s := range sections {
		if s.Type == "service" {
			return parseService(s)
		}
	}
	return Service{}, nil
}

// Env is what the section puts into the agent's environment.
func (s *Service) Env() []string {
	env := []string{"GOMEMLIMIT=" + s.GoMemLimit, "GOGC=" + s.GoGC}
	if s.GoMaxProcs != 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(s.GoMaxProcs))
	}
	return env
}

func isNumber(v string) bool {
	_, err := strconv.ParseUint(v, 10, 31)
	return err == nil
}

package config

import (
	"strconv"
	"strings"

	"cpns.example.net/pngw/board/uci"
)

// Service is the section of type service. It is for OpenWrt's init script, which
// has it from the command "pngw procd"; the agent takes nothing from it.
type Service struct {
	Enabled    bool // the agent is to run
	GoMemLimit string
	GoGC       string
	GoMaxProcs int // 0 for all
}

// What the Go runtime has where the section does not say otherwise.
const (
	defaultMemLimit = "12MiB"
	defaultGC       = "100"
)

func parseService(s uci.Section) (Service, error) {
	d := uci.NewDecoder(s)
	service := Service{
		Enabled:    d.Bool("enabled", false),
		GoMemLimit: d.String("gomemlimit", defaultMemLimit),
		GoGC:       d.String("gogc", defaultGC),
		GoMaxProcs: d.Int("gomaxprocs", 0, 1, 256),
	}
	if !isMemory(service.GoMemLimit) {
		d.Errorf("gomemlimit", "%q: want a number and its unit, such as 12MiB", service.GoMemLimit)
	}
	if service.GoGC != "off" && !isNumber(service.GoGC) {
		d.Errorf("gogc", "%q: want a percentage such as 100, or off", service.GoGC)
	}
	return service, d.Err()
}

// Env is what the section puts into the agent's environment.
func (s *Service) Env() []string {
	env := []string{"GOMEMLIMIT=" + s.GoMemLimit, "GOGC=" + s.GoGC}
	if s.GoMaxProcs != 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(s.GoMaxProcs))
	}
	return env
}

// isMemory tells whether the Go runtime would take v as its GOMEMLIMIT, which
// it stops at if it does not.
func isMemory(v string) bool {
	v = strings.TrimSuffix(v, "B")
	for _, unit := range []string{"Ki", "Mi", "Gi"} {
		if number, ok := strings.CutSuffix(v, unit); ok {
			return isNumber(number)
		}
	}
	return isNumber(v)
}

func isNumber(v string) bool {
	_, err := strconv.ParseUint(v, 10, 31)
	return err == nil
}

package config

import (
	"strconv"
	"strings"

	"cpns.example.net/pngw/board/uci"
)

// checkService checks the section of type service. It is the init script's: it
// says whether the agent is started at boot and what is in its environment.
// The agent takes nothing from it, but finds the mistakes in it, as init's
// shell could not by line.
func checkService(s uci.Section) error {
	d := uci.NewDecoder(s)
	d.Bool("enabled", false)
	if v := d.String("gomemlimit", ""); v != "" && !isMemory(v) {
		d.Errorf("gomemlimit", "%q: want a number and its unit, such as 12MiB", v)
	}
	if v := d.String("gogc", ""); v != "" && v != "off" && !isNumber(v) {
		d.Errorf("gogc", "%q: want a percentage such as 100, or off", v)
	}
	d.Int("gomaxprocs", 1, 1, 256)
	return d.Err()
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

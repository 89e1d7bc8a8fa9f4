package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
	"cpns.example.net/pngw/agent/config"
	"cpns.example.net/pngw/agent/hooks"
	"cpns.example.net/pngw/agent/step0"
	"cpns.example.net/pngw/internal/command"
	"cpns.example.net/pngw/internal/display"
)

var statusCommand = command.Command{
	Name: "status", Options: "[--json]", Summary: "show how the agent is doing",
	About:   `Shows how the agent is doing: its clock, server, links, devices, and what is wrong.`,
	Example: "pngw status",
	Setup: report("print it as an object, with the links; events and hooks are counted since the agent started",
		(*api.Client).Status, showStatus),
}

func showStatus(_ context.Context, c *command.Console, _ *api.Client, s api.Status) error {
	return display.Sheet(c.Stdout, statusPairs(s))
}

func statusPairs(s api.Status) [][2]string {
	pairs := [][2]string{
		{"Agent", fmt.Sprintf("%s, running for %s", s.Version, time.Duration(s.Uptime)*time.Second)},
		{"Gateway", cmp.Or(string(s.Gateway), "no name yet")},
		{"Server", cmp.Or(s.Server, "none yet")},
		{"Clock", "set, " + s.Time},
		{"Devices", counts(s.PNEs)},
		{"Discovered", fmt.Sprintf("%d that nobody has provisioned", s.Discovered)},
		{"Store", "in order"},
		{"Dropped", fmt.Sprintf("%d malformed, %d misplaced, %d unproved messages", s.Dropped.Malformed, s.Dropped.Misplaced, s.Dropped.Unproved)},
	}
	if h := s.Hooks; h != (hooks.Counts{}) {
		pairs = append(pairs, [2]string{"Hooks", fmt.Sprintf("%d went well, %d failed, %d killed; %d events dropped, %d waiting", h.OK, h.Failed, h.TimedOut, h.Dropped, h.Waiting)})
	}
	if !s.ClockSet {
		pairs[3][1] = fmt.Sprintf("not set (it says %s): requests wait for NTP", s.Time)
	}
	if n := len(s.Unwritten); n > 0 {
		pairs[6][1] = fmt.Sprintf("records that cannot be written: %d", n)
	}
	pairs = append(pairs, [2]string{"PSK1", pskText(s.PSK1)})
	if text := enrolmentText(s.Enrolment); text != "" {
		pairs = append(pairs, [2]string{"Enrolment", text})
	}
	if f := s.Enrolment.Fingerprint; f != "" {
		pairs = append(pairs, [2]string{"Fingerprint", f})
	}
	if p := s.Page; p != nil {
		pairs = append(pairs, pagePairs(p)...)
	}
	if s.Signs != nil {
		pairs = append(pairs, signPairs(s.Signs)...)
	}
	for _, l := range s.Links {
		pairs = append(pairs, [2]string{"Link " + l.Name, l.State + ", " + l.Detail})
	}
	for _, u := range s.Unwritten {
		pairs = append(pairs, [2]string{"Unwritten", u})
	}
	for _, f := range s.Faults {
		pairs = append(pairs, [2]string{"Fault", "the record does not open and is left as it is: " + f})
	}
	return pairs
}

func pagePairs(p *api.Page) [][2]string {
	text := p.URL
	if p.Detail != "" {
		text += ", not served: " + p.Detail
	}
	if !p.PIN {
		text += "; nobody can log in: pngw web set-pin"
	}
	return [][2]string{{"Page", text}, {"Page's CA", "SHA-256 " + p.Fingerprint}}
}

func signPairs(s *api.Signs) (pairs [][2]string) {
	for _, l := range s.Lights {
		pairs = append(pairs, [2]string{"Light " + l.Name, cmp.Or(l.Fault, "shows what the agent does")})
	}
	if b := s.Button; b != nil {
		pairs = append(pairs, [2]string{"Button " + b.Name, buttonText(b)})
	}
	return pairs
}

func buttonText(b *api.Button) string {
	text := fmt.Sprintf("heard by %s; devices that wait for it: %d", b.Detail, b.Held)
	if b.Fault {
		text = "not heard: " + b.Detail
	}
	if b.Open {
		text += "; pressed: they get their keys now"
	}
	return text
}

// enrolmentText says how the enrolment stands; "" where nothing was done about one.
func enrolmentText(e api.Enrolment) string {
	switch e.State {
	case step0.StateEnrolled:
		return "as " + string(e.Gateway) + " at " + e.Server
	case step0.StatePending:
		return before(e) + join("pending at "+e.Server, e.Detail)
	case step0.StateRefused:
		return before(e) + "refused: " + e.Detail
	}
	return ""
}

// before is what holds while a gateway that is enrolled asks another server, and after
// that one has refused it.
func before(e api.Enrolment) string {
	if e.Enrolled == "" {
		return ""
	}
	return "as " + string(e.Gateway) + " at " + e.Enrolled + "; to move: "
}

// pskText says where PSK1 comes from, which one it is and until when, or what is
// waited for.
func pskText(p agent.PSKStatus) string {
	text := "from " + p.Source
	if p.Detail != "" {
		text += ", " + p.Detail
	}
	if p.Identity != "" {
		text += ", identity " + string(p.Identity) + ", good until " + p.Until
	}
	switch {
	case p.Waiting != "":
		text += ", waiting: " + p.Waiting
	case p.Identity == "" && p.Source == config.SourceTLS:
		text += ", agreed on when the first request needs it"
	}
	return text
}

// counts gives "3 delivered, 1 assigned", in the order of a PNE's life.
func counts(n map[agent.State]int) string {
	var parts []string
	for _, s := range []agent.State{agent.StateRequested, agent.StateAssigned, agent.StateDelivered, agent.StateUsedUp, agent.StateAlarm} {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

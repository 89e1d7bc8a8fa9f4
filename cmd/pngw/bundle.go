package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"cpns.example.net/pngw/internal/durable"
)

// maxSection is the largest size of a bundle's section, in bytes. Of a longer one only
// the end is kept.
const maxSection = 512 << 10

// scrub removes what must not be in a bundle, wherever it comes from: enrolment codes, and
// the user and password before the "@" of a URL.
func scrub(text string) string {
	text = redact(text, func(word string) bool { return len(word) > 6 && strings.EqualFold(word[:6], "CPNS1-") })
	var b strings.Builder
	for {
		at := strings.Index(text, "//")
		if at < 0 {
			return b.String() + text
		}
		b.WriteString(text[:at+2])
		text = text[at+2:]
		if end := strings.IndexAny(text, "@/ \t\n'\""); end >= 0 && text[end] == '@' {
			b.WriteString("[redacted]")
			text = text[end:]
		}
	}
}

// scrubKeys also removes everything that looks like a key in hex or base64, because people
// put keys where they do not belong.
func scrubKeys(text string) string {
	return redact(text, func(word string) bool { return len(word) >= 32 && (word[0] != '/' || strings.ContainsAny(word, "+=")) })
}

// redact replaces secret words. A word consists of the characters of hex, base64,
// enrolment codes and paths.
func redact(text string, secret func(word string) bool) string {
	var b strings.Builder
	inWord := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("+/=_-:", c) >= 0
	}
	for len(text) > 0 {
		end := 0
		for end < len(text) && inWord(text[end]) {
			end++
		}
		switch word := text[:end]; {
		case end == 0:
			b.WriteByte(text[0])
			end = 1
		case secret(word):
			b.WriteString("[redacted]")
		default:
			b.WriteString(word)
		}
		text = text[end:]
	}
	return b.String()
}

// bundle writes a file for support. Most of it comes from the agent's API, which never
// returns a key.
func (d *doctor) bundle(ctx context.Context, path string) error {
	return durable.ReplaceBy(path, 0o600, func(w io.Writer) error {
		b := &bundle{w: w}
		built := build()
		b.section("pngw", fmt.Sprintf("%s\nmade %s\n", built.Version, time.Now().UTC().Format(time.RFC3339)))
		b.section("doctor", d.said.String())
		for _, file := range []string{"/proc/version", "/etc/openwrt_release", "/proc/uptime", "/proc/meminfo", "/proc/mounts"} {
			if text, err := os.ReadFile(file); err == nil {
				b.section(file, string(text))
			}
		}
		if d.cfg != nil {
			text, err := os.ReadFile(d.cfg.File)
			if err != nil {
				text = []byte(err.Error())
			}
			b.section(d.cfg.File, scrubKeys(string(text)))
		}
		if d.status != nil {
			d.asked(ctx, b)
		}
		b.section("logread -e pngw", systemLog(ctx))
		return b.err
	})
}

// asked is the part of a bundle that comes from the agent.
func (d *doctor) asked(ctx context.Context, b *bundle) {
	b.json("status", d.status, nil)
	links, err := d.client.Links(ctx)
	b.json("links", links, err)
	pnes, err := d.client.List(ctx)
	b.json("devices", pnes, err)
	found, err := d.client.Discovered(ctx)
	b.json("discovered", found, err)
	text, err := d.client.Metrics(ctx)
	b.text("metrics", text, err)
	text, err = d.client.AuditLog(ctx)
	b.text("audit", text, err)
}

type bundle struct {
	w   io.Writer
	err error
}

func (b *bundle) section(name, text string) {
	if len(text) > maxSection {
		text = "…" + text[len(text)-maxSection:]
	}
	if b.err == nil {
		_, b.err = fmt.Fprintf(b.w, "===== %s\n%s\n\n", name, strings.TrimRight(scrub(text), "\n"))
	}
}

func (b *bundle) text(name string, text []byte, err error) {
	if err != nil {
		text = []byte(err.Error())
	}
	b.section(name, string(text))
}

func (b *bundle) json(name string, v any, err error) {
	var text []byte
	if err == nil {
		text, err = json.MarshalIndent(v, "", " ")
	}
	b.text(name, text, err)
}

// systemLog returns the agent's lines from OpenWrt's log.
func systemLog(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	text, err := exec.CommandContext(ctx, "logread", "-e", "pngw").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", text, err)
	}
	return string(text)
}

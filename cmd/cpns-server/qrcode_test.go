package main

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rsc.io/qr"
)

// Both drawings show the code's modules, with light all around. (What the modules say
// is the library's: its SVG and the terminal's picture were read by zbarimg.)
func TestDrawings(t *testing.T) {
	const text = "CPNS1-QNZW6-5DIMV-ZC4ZL-YMFWX-A3DFF-ZXGK5"
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	size := code.Size + 2*quiet

	picture, err := svgOf(text)
	if err != nil {
		t.Fatal(err)
	}
	svg := make([]bool, size*size)
	for _, m := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).FindAllSubmatch(picture, -1) {
		var n [4]int
		for i := range n {
			n[i], _ = strconv.Atoi(string(m[i+1]))
		}
		if n[2] != n[3] {
			t.Errorf("%s is no box", m[0])
		}
		for x := range n[2] {
			svg[n[1]*size+n[0]+x] = true
		}
	}

	var drawn bytes.Buffer
	if err := drawCode(&drawn, text); err != nil {
		t.Fatal(err)
	}
	terminal := make([]bool, size*(size+1))
	y := 0
	for line := range strings.Lines(drawn.String()) {
		line = strings.TrimSuffix(strings.TrimPrefix(line, "\x1b[38;5;16;48;5;231m"), "\x1b[0m\n")
		x := 0
		for _, r := range line {
			upper, lower := r == '▀' || r == '█', r == '▄' || r == '█'
			terminal[y*size+x] = upper
			if y+1 < size {
				terminal[(y+1)*size+x] = lower
			}
			x++
		}
		if x != size {
			t.Errorf("line %d has %d modules, want %d", y, x, size)
		}
		y += 2
	}
	for y := range size {
		for x := range size {
			want := x >= quiet && y >= quiet && code.Black(x-quiet, y-quiet)
			if svg[y*size+x] != want || terminal[y*size+x] != want {
				t.Fatalf("module %d, %d: SVG %v, terminal %v, want %v", x, y, svg[y*size+x], terminal[y*size+x], want)
			}
		}
	}
}

// On a terminal everything about a code is shown, and fits it.
func TestShowCodeWidth(t *testing.T) {
	long := "CPNS1" + strings.Repeat("-ABCDE", 62) // 80 bytes of server, 64 of gateway ID
	var drawn bytes.Buffer
	if err := drawCode(&drawn, long); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(drawn.String(), "\n")
	if n := strings.Count(first, " "); n > 80 {
		t.Errorf("the longest code is %d columns wide", n)
	}
}

package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"rsc.io/qr"
)

// A QR code needs this much light around it, in modules.
const quiet = 4

// drawCode draws text as a QR code on a terminal: two modules a character, dark on
// light whatever the terminal's own colours are.
func drawCode(w io.Writer, text string) error {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return fmt.Errorf("drawing the code: %w", err)
	}
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[38;5;16;48;5;231m")
		for x := -quiet; x < code.Size+quiet; x++ {
			// Outside of the code nothing is black.
			b.WriteString([]string{" ", "▀", "▄", "█"}[dark(code, x, y)|dark(code, x, y+1)<<1])
		}
		b.WriteString("\x1b[0m\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func dark(code *qr.Code, x, y int) int {
	if code.Black(x, y) {
		return 1
	}
	return 0
}

// svgOf is text as a QR code in SVG.
func svgOf(text string) ([]byte, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, fmt.Errorf("drawing the code: %w", err)
	}
	var b bytes.Buffer
	size := code.Size + 2*quiet
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[1]d" width="%[2]d" height="%[2]d" shape-rendering="crispEdges"><rect width="100%%" height="100%%" fill="#fff"/><path d="`, size, 6*size)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for code.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%[3]dz", from+quiet, y+quiet, x-from)
			}
		}
	}
	b.WriteString("\"/></svg>\n")
	return b.Bytes(), nil
}

// Package qrcode draws a text as a QR code: on a terminal, as SVG, as PNG, and as
// rectangles for whoever draws otherwise. The modules are rsc.io/qr's.
package qrcode

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"rsc.io/qr"
)

// Quiet is how much light a QR code needs around it, in modules.
const Quiet = 4

func encode(text string) (*qr.Code, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, fmt.Errorf("drawing the code: %w", err)
	}
	return code, nil
}

// Draw draws text on a terminal: two modules a character, dark on light whatever the
// terminal's own colours are.
func Draw(w io.Writer, text string) error {
	code, err := encode(text)
	if err != nil {
		return err
	}
	var b strings.Builder
	for y := -Quiet; y < code.Size+Quiet; y += 2 {
		b.WriteString("\x1b[38;5;16;48;5;231m")
		for x := -Quiet; x < code.Size+Quiet; x++ {
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

// Rows gives the dark runs of text's QR code, row by row from the top, in modules,
// and returns how many modules a side has. Light around it is the caller's.
func Rows(text string, run func(x, y, length int)) (size int, err error) {
	code, err := encode(text)
	if err != nil {
		return 0, err
	}
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for code.Black(x, y) {
				x++
			}
			if x > from {
				run(from, y, x-from)
			}
		}
	}
	return code.Size, nil
}

// SVG is text as a QR code in SVG, with a caption below it where that is not empty.
func SVG(text, caption string) ([]byte, error) {
	var path bytes.Buffer
	size, err := Rows(text, func(x, y, length int) {
		fmt.Fprintf(&path, "M%d %dh%dv1h-%[3]dz", x+Quiet, y+Quiet, length)
	})
	if err != nil {
		return nil, err
	}
	size += 2 * Quiet
	height, words := size, ""
	if caption != "" {
		height += Quiet
		// A monospaced letter is 0.6 of its size wide.
		letter := min(2.5, float64(size-2)/(0.6*float64(len(caption))))
		words = fmt.Sprintf(`<text x="%g" y="%d" font-family="monospace" font-size="%.2f" text-anchor="middle">%s</text>`, float64(size)/2, size, letter, escape(caption))
	}
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[3]d" height="%[4]d" shape-rendering="crispEdges"><rect width="100%%" height="100%%" fill="#fff"/><path d="%[5]s"/>%[6]s</svg>`+"\n",
		size, height, 6*size, 6*height, path.Bytes(), words), nil
}

// PNG is text as a QR code in PNG, each module so many pixels wide.
func PNG(text string, pixels int) ([]byte, error) {
	code, err := encode(text)
	if err != nil {
		return nil, err
	}
	code.Scale = pixels
	return code.PNG(), nil
}

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace

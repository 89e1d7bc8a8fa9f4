package qrcode

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rsc.io/qr"

	"cpns.example.net/pngw/internal/ptytest"
)

// Both drawings show the code's modules, with light all around, and a reader of QR codes
// reads the code from either.
func TestDrawings(t *testing.T) {
	const text = "CPNS1-QNZW6-5DIMV-ZC4ZL-YMFWX-A3DFF-ZXGK5"
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	size := code.Size + 2*Quiet

	picture, err := SVG(text, "")
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
	if err := Draw(&drawn, text); err != nil {
		t.Fatal(err)
	}
	terminal := make([]bool, size*size)
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
			want := x >= Quiet && y >= Quiet && code.Black(x-Quiet, y-Quiet)
			if svg[y*size+x] != want || terminal[y*size+x] != want {
				t.Fatalf("module %d, %d: SVG %v, terminal %v, want %v", x, y, svg[y*size+x], terminal[y*size+x], want)
			}
		}
	}
	for what, modules := range map[string][]bool{"the SVG": svg, "the terminal": terminal} {
		if got := readQR(t, modules, size); got != text {
			t.Errorf("zbarimg reads %q from %s", got, what)
		}
	}
}

// readQR has zbarimg, which is not ours, read a picture of modules.
func readQR(t *testing.T, modules []bool, size int) string {
	t.Helper()
	zbarimg, err := exec.LookPath("zbarimg")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	const scale = 4
	img := image.NewGray(image.Rect(0, 0, size*scale, size*scale))
	for y := range size * scale {
		for x := range size * scale {
			if !modules[y/scale*size+x/scale] {
				img.SetGray(x, y, color.Gray{255})
			}
		}
	}
	file := filepath.Join(t.TempDir(), "code.png")
	var picture bytes.Buffer
	if err := errors.Join(png.Encode(&picture, img), os.WriteFile(file, picture.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(zbarimg, "--raw", "--quiet", file).Output()
	if err != nil {
		t.Fatalf("zbarimg reads nothing: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// On a terminal everything about a code is shown, and fits it.
func TestShowCodeWidth(t *testing.T) {
	long := "CPNS1" + strings.Repeat("-ABCDE", 62) // 80 bytes of server, 64 of gateway ID
	var drawn bytes.Buffer
	if err := Draw(&drawn, long); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(drawn.String(), "\n")
	if n := strings.Count(first, " "); n > 80 {
		t.Errorf("the longest code is %d columns wide", n)
	}
}

// What is drawn is read by zbar, as a telephone does: the PNG as it is, the SVG as
// librsvg paints it.
func TestReadable(t *testing.T) {
	zbarimg, rsvg := ptytest.Need(t, "zbarimg"), ptytest.Need(t, "rsvg-convert")
	for _, text := range []string{"CPNS:1:meter-0001:1M", "CPNS:1:" + strings.Repeat("~%!&<\"", 10) + "abcd:00"} {
		dir := t.TempDir()
		picture, err := PNG(text, 10)
		if err != nil {
			t.Fatal(err)
		}
		drawing, err := SVG(text, text)
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(dir+"/a.png", picture, 0o600)
		os.WriteFile(dir+"/b.svg", drawing, 0o600)
		if out, err := exec.Command(rsvg, "-o", dir+"/b.png", dir+"/b.svg").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, name := range []string{"/a.png", "/b.png"} {
			read, err := exec.Command(zbarimg, "--raw", "-q", "-S*.disable", "-Sqrcode.enable", dir+name).Output()
			if got := strings.TrimSuffix(string(read), "\n"); err != nil || got != text {
				t.Errorf("%s of %s: got %q, %v", name, text, got, err)
			}
		}
	}
}

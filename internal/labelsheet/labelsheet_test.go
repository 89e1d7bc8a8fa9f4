package labelsheet

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cpns.example.net/pngw/internal/ptytest"
)

// A sheet is printed as poppler prints it, and every code on it is read by zbar; the
// text is on it as it is in the code.
func TestSheet(t *testing.T) {
	paint, read, words := ptytest.Need(t, "pdftoppm"), ptytest.Need(t, "zbarimg"), ptytest.Need(t, "pdftotext")
	layout, err := NewLayout("A4", "70x37", true)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 30 { // 24 fit a page
		want = append(want, fmt.Sprintf("CPNS:1:meter-%04d:ZZ", i))
	}
	want[3] = "CPNS:1:a(b)\\c%~:ZZ"
	want[4] = "CPNS:1:" + strings.Repeat("x-", 32) + ":ZZ"
	dir := t.TempDir()
	file := filepath.Join(dir, "sheet.pdf")
	var b bytes.Buffer
	w := New(&b, layout)
	for _, text := range want {
		if err := w.Add(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(paint, "-r", "300", "-gray", "-png", file, filepath.Join(dir, "page")).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("pdftoppm: %v: %s", err, out)
	}
	pictures, _ := filepath.Glob(filepath.Join(dir, "page*"))
	if len(pictures) != 2 {
		t.Fatalf("%d pages, want 2", len(pictures))
	}
	// A telephone looks at one label at a time.
	files := cut(t, pictures, layout, len(want))
	codes, err := exec.Command(read, append([]string{"--raw", "-q", "-S*.disable", "-Sqrcode.enable"}, files...)...).Output()
	if err != nil {
		t.Fatalf("zbarimg: %v", err)
	}
	if got := strings.Split(strings.TrimSpace(string(codes)), "\n"); !slices.Equal(got, want) {
		t.Errorf("zbarimg reads\n%q, want\n%q", got, want)
	}
	text, err := exec.Command(words, "-layout", file, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, label := range want {
		if !strings.Contains(string(text), label) && len(label) < 60 {
			t.Errorf("%s is not on the sheet as text", label)
		}
	}
}

// cut cuts pages along their labels.
func cut(t *testing.T, pages []string, l Layout, n int) (files []string) {
	t.Helper()
	columns, rows := int(l.PageWidth/l.LabelWidth), int(l.PageHeight/l.LabelHeight)
	for i, page := range pages {
		f, err := os.Open(page)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		perMM := float64(picture.Bounds().Dx()) / l.PageWidth
		for j := 0; j < columns*rows && i*columns*rows+j < n; j++ {
			x := (l.PageWidth-float64(columns)*l.LabelWidth)/2 + float64(j%columns)*l.LabelWidth
			y := (l.PageHeight-float64(rows)*l.LabelHeight)/2 + float64(j/columns)*l.LabelHeight
			part := picture.(interface {
				SubImage(image.Rectangle) image.Image
			}).SubImage(image.Rect(int(x*perMM), int(y*perMM), int((x+l.LabelWidth)*perMM), int((y+l.LabelHeight)*perMM)))
			name := fmt.Sprintf("%s-%02d.png", page, j)
			out, err := os.Create(name)
			if err == nil {
				err = errors.Join(png.Encode(out, part), out.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, name)
		}
	}
	return files
}

func TestLayout(t *testing.T) {
	for _, tt := range [][3]string{
		{"a5", "70x37", "want a4 or letter"},
		{"a4", "70", "such as 70x37"},
		{"a4", "70x37x2", "such as 70x37"},
		{"a4", "NaNx37", "15 mm"},
		{"a4", "10x10", "15 mm"},
		{"letter", "300x20", "larger than the page"},
	} {
		if _, err := NewLayout(tt[0], tt[1], false); err == nil || !strings.Contains(err.Error(), tt[2]) {
			t.Errorf("%s %s: got %v, want %s", tt[0], tt[1], err, tt[2])
		}
	}
}

// The smallest labels of the longest text are whole: nothing is painted outside.
func TestLongest(t *testing.T) {
	lines, size := wrap("CPNS:1:"+strings.Repeat("x", 64)+":ZZ", 12*point)
	for _, line := range lines {
		if float64(len(line))*size*courier > 12*point {
			t.Errorf("%s is wider than the label", line)
		}
	}
}

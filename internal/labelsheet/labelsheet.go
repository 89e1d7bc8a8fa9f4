// Package labelsheet writes labels on sheets, as PDF: each a QR code and the same text
// below it, in a grid as sheets of adhesive labels have.
package labelsheet

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"strings"

	"cpns.example.net/pngw/internal/qrcode"
)

// Layout is a sheet's, in millimetres.
type Layout struct {
	PageWidth, PageHeight   float64
	LabelWidth, LabelHeight float64
	Borders                 bool // thin lines around each label, to cut along
}

// Pages that Layout.Page knows.
var pages = map[string][2]float64{"a4": {210, 297}, "letter": {215.9, 279.4}}

// NewLayout is a layout of a named page and a size such as 70x37.
func NewLayout(page, size string, borders bool) (l Layout, err error) {
	p, ok := pages[strings.ToLower(page)]
	if !ok {
		return l, fmt.Errorf("page %q: want a4 or letter", page)
	}
	l = Layout{PageWidth: p[0], PageHeight: p[1], Borders: borders}
	if n, err := fmt.Sscanf(size+" ", "%gx%g ", &l.LabelWidth, &l.LabelHeight); n != 2 || err != nil {
		return l, fmt.Errorf("size %q: want width and height in millimetres, such as 70x37", size)
	}
	switch {
	case !(l.LabelWidth >= 15 && l.LabelHeight >= 15):
		return l, fmt.Errorf("size %s: a label has to be 15 mm wide and high at least, to be read by a telephone", size)
	case l.LabelWidth > l.PageWidth || l.LabelHeight > l.PageHeight:
		return l, fmt.Errorf("size %s: larger than the page", size)
	}
	return l, nil
}

const (
	point  = 72 / 25.4 // points in a millimetre
	margin = 1.5       // inside of a label, millimetres
	// A letter of Courier is 0.6 of its size wide.
	courier            = 0.6
	smallest, greatest = 4.0, 11.0 // letters, in points
)

// Writer writes sheets. A page is written when it is full.
type Writer struct {
	w       io.Writer
	layout  Layout
	columns int
	rows    int

	page    bytes.Buffer // under way
	n       int          // labels on it
	written int64
	offsets []int64 // of objects, by number - 1
	kids    []int   // pages, by number
	err     error
}

// Object numbers that are known before anything is written.
const (
	catalog = 1 + iota
	pageTree
	font
	reserved
)

// New begins a file.
func New(w io.Writer, l Layout) *Writer {
	s := &Writer{w: w, layout: l, offsets: make([]int64, reserved-1)}
	s.columns, s.rows = int(l.PageWidth/l.LabelWidth), int(l.PageHeight/l.LabelHeight)
	s.print("%%PDF-1.4\n%%\xe2\xe3\xcf\xd3\n")
	s.object(catalog, fmt.Sprintf("<< /Type /Catalog /Pages %d 0 R >>", pageTree))
	s.object(font, "<< /Type /Font /Subtype /Type1 /BaseFont /Courier-Bold /Encoding /WinAnsiEncoding >>")
	return s
}

// Add puts a label on the sheet: text, printable ASCII, as QR code and as it is.
func (s *Writer) Add(text string) error {
	if s.n == s.columns*s.rows {
		s.endPage()
	}
	l := &s.layout
	left := (l.PageWidth-float64(s.columns)*l.LabelWidth)/2 + float64(s.n%s.columns)*l.LabelWidth
	top := l.PageHeight - (l.PageHeight-float64(s.rows)*l.LabelHeight)/2 - float64(s.n/s.columns)*l.LabelHeight
	s.n++
	if l.Borders {
		fmt.Fprintf(&s.page, "0.2 w %.3f %.3f %.3f %.3f re S\n", left*point, (top-l.LabelHeight)*point, l.LabelWidth*point, l.LabelHeight*point)
	}
	lines, size := wrap(text, (l.LabelWidth-2*margin)*point)
	words := float64(len(lines)) * size * 1.1 // points
	height := (l.LabelHeight-2*margin)*point - words
	side := min(height, (l.LabelWidth-2*margin)*point)

	var runs bytes.Buffer
	modules, err := qrcode.Rows(text, func(x, y, length int) {
		fmt.Fprintf(&runs, "%d %d %d 1 re\n", x+qrcode.Quiet, -(y + qrcode.Quiet + 1), length)
	})
	if err != nil {
		return err
	}
	modules += 2 * qrcode.Quiet
	unit := side / float64(modules)
	x, y := (left+l.LabelWidth/2)*point-side/2, (top-margin)*point
	fmt.Fprintf(&s.page, "q %.4f 0 0 %.4f %.3f %.3f cm\n%sf Q\n", unit, unit, x, y, runs.Bytes())
	for i, line := range lines {
		fmt.Fprintf(&s.page, "BT /F1 %.2f Tf %.3f %.3f Td (%s) Tj ET\n", size,
			(left+l.LabelWidth/2)*point-float64(len(line))*size*courier/2,
			(top-margin)*point-side-float64(i+1)*size*1.1+size*0.3, escape(line))
	}
	return s.err
}

// wrap breaks text into lines that fit a width in points, in the greatest letters in
// which it takes one line, or else in the smallest.
func wrap(text string, width float64) (lines []string, size float64) {
	size = min(greatest, width/(courier*float64(len(text))))
	if size >= smallest {
		return []string{text}, size
	}
	fits := int(width / (courier * smallest))
	for len(text) > fits {
		lines, text = append(lines, text[:fits]), text[fits:]
	}
	return append(lines, text), smallest
}

var escape = strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`).Replace

// endPage writes the page under way.
func (s *Writer) endPage() {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	z.Write(s.page.Bytes()) // to memory
	z.Close()
	s.page.Reset()
	s.n = 0
	content := len(s.offsets) + 1
	s.offsets = append(s.offsets, 0, 0)
	s.object(content, fmt.Sprintf("<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream", packed.Len(), packed.Bytes()))
	s.object(content+1, fmt.Sprintf("<< /Type /Page /Parent %d 0 R /MediaBox [0 0 %.2f %.2f] /Resources << /Font << /F1 %d 0 R >> >> /Contents %d 0 R >>",
		pageTree, s.layout.PageWidth*point, s.layout.PageHeight*point, font, content))
	s.kids = append(s.kids, content+1)
}

// Close ends the file, which has one page at least.
func (s *Writer) Close() error {
	if s.n > 0 || len(s.kids) == 0 {
		s.endPage()
	}
	var kids strings.Builder
	for _, k := range s.kids {
		fmt.Fprintf(&kids, "%d 0 R ", k)
	}
	s.object(pageTree, fmt.Sprintf("<< /Type /Pages /Count %d /Kids [%s] >>", len(s.kids), kids.String()))
	at := s.written
	s.print("xref\n0 %d\n0000000000 65535 f \n", len(s.offsets)+1)
	for _, o := range s.offsets {
		s.print("%010d 00000 n \n", o)
	}
	s.print("trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(s.offsets)+1, catalog, at)
	return s.err
}

func (s *Writer) object(number int, body string) {
	s.offsets[number-1] = s.written
	s.print("%d 0 obj\n%s\nendobj\n", number, body)
}

func (s *Writer) print(format string, args ...any) {
	if s.err != nil {
		return
	}
	n, err := fmt.Fprintf(s.w, format, args...)
	s.written += int64(n)
	s.err = err
}

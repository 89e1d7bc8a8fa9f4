package secretfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFrom(t *testing.T) {
	const most = 8
	tests := []struct {
		name, text string
		want       string
		err        error
	}{
		{"no line end", "secret", "secret", nil},
		{"LF", "secret\n", "secret", nil},
		{"CR LF", "secret\r\n", "secret", nil},
		{"blanks are part of it", " s t\t\n", " s t\t", nil},
		{"longest", "12345678\r\n", "12345678", nil},
		{"other letters", "gr\u00f6\u00dfe\n", "gr\u00f6\u00dfe", nil},
		{"nothing", "", "", ErrEmpty},
		{"a line end only", "\n", "", ErrEmpty},
		{"CR LF only", "\r\n", "", ErrEmpty},
		{"too long", "123456789", "", ErrLong},
		{"too long, LF", "123456789\n", "", ErrLong},
		{"much too long", strings.Repeat("1", 100), "", ErrLong},
		{"an empty line behind it", "a\n\n", "", ErrLines},
		{"two lines", "a\nb\n", "", ErrLines},
		{"two lines, CR LF", "a\r\nb\r\n", "", ErrLines},
		{"CR alone", "a\r", "", ErrReturn},
		{"CR inside", "a\rb\n", "", ErrReturn},
		{"zero byte", "a\x00b\n", "", ErrZero},
		{"zero byte at the end", "a\x00", "", ErrZero},
		{"UTF-8 with a mark", "\ufeffab\n", "", ErrOrderMark},
		{"UTF-16", "\xff\xfea\x00", "", ErrOrderMark},
		{"UTF-16, big end first", "\xfe\xff\x00a", "", ErrOrderMark},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := From(strings.NewReader(tt.text), most)
			if string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err = Read(path, most)
			if string(got) != tt.want || !errors.Is(err, tt.err) || err != nil && !strings.HasPrefix(err.Error(), path) {
				t.Errorf("from a file: got %q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[fs.FileMode]bool{
		0o400: true, 0o600: true, 0o640: true, 0o440: true,
		0o644: false, 0o604: false, 0o660: false, 0o620: false, 0o601: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path, 8)
		if refused := errors.As(err, new(*ModeError)); refused == ok || ok && err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if _, err := Read(filepath.Dir(path), 8); err == nil {
		t.Error("a folder was read")
	}
	if _, err := Read(path+"2", 8); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for text, want := range map[string]string{
		"00ff\r\n": "\x00\xff", "00FF": "\x00\xff", "000102\n": "",
		"00f": "", "0x00": "", "00 ff": "", "zz": "", "": "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Key(path, 2)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %x, %v", text, got, err)
		}
		if err != nil && text != "" && strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

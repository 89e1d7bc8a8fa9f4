// Package secretfile reads the secrets that people write into files: passwords
// and keys, one on a line. What an editor or another system adds without a word
// is either cut off or refused, never taken as part of the secret: a password
// with an invisible character too many costs a try, and tries are counted.
package secretfile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// What is wrong with a text that should be one line with a secret. None of these
// says anything of the secret.
var (
	ErrEmpty     = errors.New("is empty")
	ErrLong      = errors.New("is too long")
	ErrLines     = errors.New("has more than one line")
	ErrReturn    = errors.New("has a carriage return in its line")
	ErrZero      = errors.New("has a zero byte in it: write it as plain text")
	ErrOrderMark = errors.New("begins with a byte order mark: write it as UTF-8 without one")
)

// byteOrderMarks are what some editors write in front of UTF-8 and UTF-16.
var byteOrderMarks = [][]byte{{0xef, 0xbb, 0xbf}, {0xff, 0xfe}, {0xfe, 0xff}}

// Line is the only line of text, without its end, LF or CR LF. It may be empty.
// It shares text's memory.
func Line(text []byte) ([]byte, error) {
	for _, mark := range byteOrderMarks {
		if bytes.HasPrefix(text, mark) {
			return nil, ErrOrderMark
		}
	}
	line, ended := bytes.CutSuffix(text, []byte("\n"))
	if ended {
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	switch {
	case bytes.IndexByte(line, 0) >= 0:
		return nil, ErrZero
	case bytes.IndexByte(line, '\n') >= 0:
		return nil, ErrLines
	case bytes.IndexByte(line, '\r') >= 0:
		return nil, ErrReturn
	}
	return line, nil
}

// lineEnd is room for CR LF.
const lineEnd = 2

// From reads the only line of r, up to r's end: 1 to most bytes. The caller
// clears it.
func From(r io.Reader, most int) ([]byte, error) {
	buf := make([]byte, most+lineEnd+1) // one more, to see that there is more
	n, err := io.ReadFull(r, buf)
	line, lineErr := Line(buf[:n])
	switch {
	case err == nil || lineErr == nil && len(line) > most:
		err = ErrLong
	case err != io.EOF && err != io.ErrUnexpectedEOF:
	case lineErr != nil:
		err = lineErr
	case len(line) == 0:
		err = ErrEmpty
	default:
		return line, nil
	}
	clear(buf)
	return nil, err
}

// A ModeError is a file with a secret that too many may read or change.
type ModeError struct {
	Path string
	Mode fs.FileMode
}

func (e *ModeError) Error() string {
	return fmt.Sprintf("%s has mode %04o: others may read it, or its group may change it; chmod 600 it, and think about whether it is still a secret", e.Path, e.Mode.Perm())
}

// Open opens a file with a secret. A regular file must be for its owner's eyes
// and at most for its group's; whoever made a pipe or a device answers for it.
func Open(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", path)
	}
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o027 != 0 {
		err = &ModeError{path, info.Mode()}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Read reads the only line of a file: 1 to most bytes. The caller clears it.
func Read(path string, most int) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	line, err := From(f, most)
	if err != nil {
		return nil, About(path, err)
	}
	return line, nil
}

// About names the file that one of the errors of [Line] and [From] is about;
// errors of the system name it already.
func About(path string, err error) error {
	if errors.As(err, new(*fs.PathError)) {
		return err
	}
	return fmt.Errorf("%s %w", path, err)
}

// Key reads a key of at most most bytes, as hex digits on one line. The caller
// clears it.
func Key(path string, most int) ([]byte, error) {
	digits, err := Read(path, hex.EncodedLen(most))
	if err != nil {
		return nil, err
	}
	defer clear(digits)
	key := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(key, digits); err != nil {
		clear(key)
		// Which digit it is would tell a part of the secret.
		return nil, fmt.Errorf("%s is not hex digits on one line", path)
	}
	return key, nil
}

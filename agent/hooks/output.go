package hooks

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"strings"
)

// What of one hook's output gets into the log, and what is read of it at all.
const (
	maxLine   = 256 // bytes; a longer line is told in parts
	maxLines  = 32
	maxOutput = 1 << 20 // bytes
)

// logOutput logs what a hook writes, line by line. What is over is read and left
// out, so that a talkative hook can go on, up to a bound.
func logOutput(log *slog.Logger, r io.Reader) {
	in := bufio.NewReaderSize(io.LimitReader(r, maxOutput), maxLine)
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && len(line) == 0 {
			return
		}
		if n == maxLines {
			log.Warn("hook writes too much: the rest is left out", "lines", maxLines)
			io.Copy(io.Discard, in)
			return
		}
		log.Info("hook says", "text", clean(line))
	}
}

// clean makes a line fit for a log that people read on terminals.
func clean(line []byte) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case strconv.IsPrint(r):
			return r
		}
		return '\uFFFD'
	}, strings.TrimRight(string(line), "\r\n"))
}

package conform

import (
	"fmt"
	"io"
	"strings"

	"cpns.example.net/pngw/internal/display"
)

// rowBytes is how many bytes of a message stand on one line.
const rowBytes = 32

// writeText writes what came of a case, for people.
func writeText(w io.Writer, r *Result) {
	var b strings.Builder
	word := map[Verdict]string{Pass: "pass", Fail: "FAIL", NotApplicable: "n/a ", Undecided: "????"}[r.Verdict]
	fmt.Fprintf(&b, "%s  %-28s %5.1f s", word, r.Name, r.Seconds)
	if r.Reason != "" {
		fmt.Fprintf(&b, "  %s", display.Plain(r.Reason))
	}
	b.WriteByte('\n')
	if r.Verdict == Fail {
		fmt.Fprintf(&b, "      says:     %s (%s)\n", r.Says, r.Clause)
		fmt.Fprintf(&b, "      expected: %s\n", display.Plain(r.Expected))
		fmt.Fprintf(&b, "      seen:     %s\n", display.Plain(r.Seen))
	}
	for _, e := range r.Trace {
		writeEntry(&b, &e)
	}
	if r.TraceLost > 0 {
		fmt.Fprintf(&b, "      and %d more, for which there was no room\n", r.TraceLost)
	}
	io.WriteString(w, b.String())
}

func writeEntry(b *strings.Builder, e *Entry) {
	fmt.Fprintf(b, "      %6d ms  %-5s  %s", e.Milliseconds, e.Direction, display.Plain(e.What))
	if e.Direction != "note" {
		fmt.Fprintf(b, ", %d bytes", len(e.Bytes)/2)
	}
	b.WriteByte('\n')
	for rest := e.Bytes; rest != ""; {
		row := rest[:min(len(rest), 2*rowBytes)]
		rest = rest[len(row):]
		fmt.Fprintf(b, "                        %s\n", row)
	}
}

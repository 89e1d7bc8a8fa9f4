package conform

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"cpns.example.net/pngw/internal/display"
)

// JUnit's XML, as Jenkins, GitLab and others read it.
type (
	junitSuite struct {
		XMLName   xml.Name    `xml:"testsuite"`
		Name      string      `xml:"name,attr"`
		Hostname  string      `xml:"hostname,attr"` // who was tried
		Timestamp string      `xml:"timestamp,attr"`
		Time      string      `xml:"time,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string      `xml:"classname,attr"`
		Name    string      `xml:"name,attr"`
		Time    string      `xml:"time,attr"`
		Failure *junitTrace `xml:"failure"`
		Error   *junitTrace `xml:"error"`
		Skipped *junitTrace `xml:"skipped"`
		Output  string      `xml:"system-out,omitempty"`
	}
	junitTrace struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func writeJUnit(w io.Writer, r *Report) error {
	seconds := func(s float64) string { return fmt.Sprintf("%.3f", s) }
	suite := junitSuite{
		Name: r.Kit, Hostname: r.Party, Timestamp: r.Started.Format(time.RFC3339), Time: seconds(r.Seconds),
		Tests: len(r.Cases), Failures: r.Failed, Errors: r.Undecided, Skipped: r.NotApplicable,
	}
	for _, result := range r.Cases {
		c := junitCase{Class: r.Kit, Name: result.Name, Time: seconds(result.Seconds)}
		reason := &junitTrace{Message: display.Plain(result.Reason)}
		switch result.Verdict {
		case Fail:
			c.Failure = &junitTrace{
				Message: display.Plain("expected " + result.Expected + "; seen: " + result.Seen),
				Text:    result.Says + " (" + result.Clause + ")",
			}
		case Undecided:
			c.Error = reason
		case NotApplicable:
			c.Skipped = reason
		}
		var trace strings.Builder
		for _, e := range result.Trace {
			writeEntry(&trace, &e)
		}
		c.Output = trace.String()
		suite.Cases = append(suite.Cases, c)
	}
	text, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	return err
}

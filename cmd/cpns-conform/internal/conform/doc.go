// Package conform is what the conformance kit's suites have in common: cases, their
// verdicts, what went over the wire, the report, and how a run ends.
//
// A suite is a list of cases against one kind of party. P is whatever the suite needs
// to speak with it: a link and a TK, or a URL and a PSK1. It knows nothing of CPNS.
//
//	var suite = conform.Suite[*peer]{
//		Name: "server",
//		Cases: []conform.Case[*peer]{{
//			Name:   "time-out-of-window",
//			Clause: "3, status 2",
//			Says:   "a request whose time is more than 300 s away gets status 2, with the server's time",
//			Run: func(ctx context.Context, t *conform.T, p *peer) {
//				if p.identity == "" {
//					t.NotApplicable("needs --psk-file")
//				}
//				t.Sent("request", body)
//				answer, err := p.post(ctx, body)
//				if err != nil {
//					t.Fail("status 2", err.Error())
//				}
//				t.Heard("response", answer)
//				…
//			},
//		}},
//	}
//
// A command declares its options with [Options.Declare], makes its P, and returns what
// [Suite.Run] returns: the report is then written, and the exit code is in the error.
//
//	Setup: func(f *flag.FlagSet) command.Run {
//		var o conform.Options
//		o.Declare(f)
//		…
//		return func(ctx context.Context, c *command.Console, _ []string) error {
//			return suite.Run(ctx, &o, c, conform.Party[*peer]{Name: url, Reach: func(ctx context.Context) (*peer, func(), error) { … }})
//		}
//	},
//
// # Rules for cases
//
// A case that returns has passed. [T.Fail], [T.NotApplicable] and [T.Undecided] end it
// at once, and only the goroutine that called Run may call them. A case obeys its ctx, which ends at the case's
// deadline or when somebody stops the run: it then returns, in whatever way; what it
// says from then on does not count. Cases run one after the other, in the order of
// the list, each by itself with --only: none relies on what one before it has left. Everything that is sent or
// heard is told to T, whole; the report has it with --bytes. A secret never is.
package conform

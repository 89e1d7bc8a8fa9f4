package againstserver

import (
	"context"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
)

// statuses are those other than Success.
var statuses = []testCase{
	{Name: "user-password", Clause: "3, status 1", Says: "a wrong password gets status 1",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.want(ctx, t, statusUser, s.wrongPassword())
		}},
	{Name: "user-unknown", Clause: "3, status 1", Says: "a user whom nobody knows gets status 1",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			r := s.wrongPassword()
			r.user = stranger("user")
			s.want(ctx, t, statusUser, r)
		}},
	{Name: "user-alike", Clause: "3, status 1", Says: "an answer does not tell whether the user is unknown or the password wrong",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			known := s.ask(ctx, t, s.wrongPassword())
			r := s.wrongPassword()
			r.user = stranger("user")
			unknown := s.ask(ctx, t, r)
			if a, b := shape(known.answer), shape(unknown.answer); a != b {
				t.Fail(a+", as with a wrong password", b)
			}
		}},
	{Name: "user-first", Clause: "3, status 3", Says: "whether there is a PNE is told only to a user who is authenticated",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			for _, entity := range []string{stranger("pne"), s.Others} {
				if entity == "" {
					continue
				}
				r := s.wrongPassword()
				r.user = stranger("user")
				r.entity = entity
				s.want(ctx, t, statusUser, r)
			}
		}},
	{Name: "time-window", Clause: "3, status 2", Says: "a request is taken up to 300 s from the server's time, and refused with status 2 beyond",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			const margin = 10 // for the way there, and a clock that is read in seconds
			for _, away := range []int64{-window + margin, window - margin, -window - margin, window + margin} {
				r := s.request()
				r.time = uint64(int64(r.time) + away)
				want := uint64(statusSuccess)
				if away < -window || away > window {
					want = statusTime
				}
				t.Note("a request from %+d s", away)
				s.want(ctx, t, want, r)
			}
		}},
	{Name: "time-far", Clause: "3, status 2", Says: "a request from 1970, or from the year 2^64, gets status 2",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			for _, at := range []uint64{0, 1<<63 - 1, 1<<64 - 1} {
				r := s.request()
				r.time = at
				s.want(ctx, t, statusTime, r)
			}
		}},
	{Name: "time-corrected", Clause: "3, status 2", Says: "the time of a status 2, with a new RAND_PNGW, is one that the server takes",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			r := s.request()
			r.time -= 86400
			refused := s.want(ctx, t, statusTime, r)
			again := s.request()
			again.time = refused.serverTime
			s.want(ctx, t, statusSuccess, again)
		}},
	{Name: "pne-unknown", Clause: "3, status 3", Says: "a PNE that the server has no TK for gets status 3",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			r := s.request()
			r.entity = stranger("pne")
			s.want(ctx, t, statusUnknownPNE, r)
		}},
	{Name: "pne-owned", Clause: "3, status 4", Says: "another user's PNE gets status 4",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.gateway(t)
			if s.Others == "" {
				t.NotApplicable("needs --others-entity-id")
			}
			r := s.request()
			r.entity = s.Others
			s.want(ctx, t, statusOwned, r)
		}},
	{Name: "random-reused", Clause: "3, status 6", Says: "a RAND_PNGW that was seen with another time gets status 6",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			r := s.request()
			s.want(ctx, t, statusSuccess, r)
			r.time--
			s.want(ctx, t, statusReused, r)
		}},
	{Name: "random-other-gateway", Clause: "3, status 6", Says: "a RAND_PNGW is unique over all gateways",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			s.gateway(t)
			if s.Second == nil {
				t.NotApplicable("needs --second-psk-file")
			}
			r := s.request()
			s.want(ctx, t, statusSuccess, r)
			got := s.askBody(ctx, t, s.Second, s.seal(s.Second, r))
			if got.status != statusReused {
				t.Fail(statusName(statusReused), statusName(got.status))
			}
		}},
	{Name: "refused-empty", Clause: "3", Says: "with a status other than 0 epoch, TK and EUKeys are empty",
		Run: func(ctx context.Context, t *conform.T, s *Server) {
			unknown := s.request()
			unknown.entity = stranger("pne")
			late := s.request()
			late.time -= 86400
			for _, r := range []request{unknown, late} {
				got := s.ask(ctx, t, r)
				if got.status != statusSuccess && (got.epoch != 0 || len(got.tk) != 0 || len(got.keys) != 0) {
					t.Fail("epoch 0, no TK, no EUKeys", fmt.Sprintf("%s with epoch %d, a TK of %d bytes, %d EUKeys", statusName(got.status), got.epoch, len(got.tk), len(got.keys)))
				}
			}
		}},
}

// lockOut runs where it is asked for, and last of what the user is needed for.
var lockOut = testCase{Name: "user-locked", Clause: "3, status 5", Limit: 3 * time.Minute,
	Says: "after too many failures the user gets status 5 with Retry-After, whatever the password",
	Run: func(ctx context.Context, t *conform.T, s *Server) {
		s.gateway(t)
		if !s.LockOut {
			t.NotApplicable("it locks the user: ask for it by --lock-out")
		}
		const most = 50
		for n := range most {
			got := s.ask(ctx, t, s.wrongPassword())
			if got.status == statusUser {
				continue
			}
			if got.status != statusLocked {
				t.Fail(statusName(statusLocked), statusName(got.status))
			}
			t.Note("locked after %d failures", n)
			right := s.ask(ctx, t, s.request())
			if right.status != statusLocked {
				t.Fail(statusName(statusLocked)+" for the right password too", statusName(right.status))
			}
			if _, ok := right.answer.retryAfter(); !ok {
				t.Fail("Retry-After in seconds", fmt.Sprintf("%q", right.answer.header.Get("Retry-After")))
			}
			return
		}
		t.Fail("a lock", fmt.Sprintf("%d wrong passwords, one after the other, that were all tried", most))
	}}

// shape is what of an answer shows without its key.
func shape(a *answer) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		switch name {
		case "Date", "Content-Length":
		default:
			name += ": " + strings.Join(a.header[name], ", ")
		}
		names = append(names, name)
	}
	return fmt.Sprintf("HTTP %d, %d bytes, header %q", a.status, len(a.body), names)
}

func isCOSE(contentType string) bool {
	kind, params, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "application/cose" && params["cose-type"] == "cose-encrypt0"
}

package gba

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config says where and as whom to bootstrap.
type Config struct {
	// BSF is the BSF's URL, such as http://bsf.mnc001.mcc001.pub.3gppnetwork.org;
	// empty for the one that follows from the IMSI, over plain HTTP, as operators have it.
	BSF string
	// IMPI is the private identity; empty for the one that follows from the IMSI.
	IMPI string
	// UserAgent is what the BSF knows clients by: "3gpp-gba" where empty.
	UserAgent string
	// Realm is the realm of the first request: the BSF's host where empty. The
	// answers echo the realm of the challenge.
	Realm string
	Card  Card
	// HTTP does the requests; redirects are never followed, whatever it says.
	HTTP *http.Client
	// Now is the time that a lifetime is held against.
	Now func() time.Time
}

// Bootstrapped is what SIM and BSF share after one run.
type Bootstrapped struct {
	BTID    string    // names the key, 1 to 128 bytes
	Expires time.Time // the end of its lifetime
	IMPI    string
	ks      [KeySize]byte
	rand    [16]byte
}

// KsNAF is the key for one NAF.
func (b *Bootstrapped) KsNAF(nafID []byte) ([KeySize]byte, error) {
	return DeriveKsNAF(&b.ks, &b.rand, b.IMPI, nafID)
}

// Wipe overwrites Ks.
func (b *Bootstrapped) Wipe() { clear(b.ks[:]) }

// Format keeps Ks out of logs and errors.
func (*Bootstrapped) Format(s fmt.State, _ rune) { fmt.Fprint(s, "[redacted]") }

// StatusError is an answer of the BSF that was none of the protocol's.
type StatusError struct{ Status int }

func (e *StatusError) Error() string {
	switch {
	case e.Status == http.StatusUnauthorized:
		return "the BSF asks once more instead of accepting the SIM's answer: it does not know this SIM, or its IMPI is another"
	case e.Status == http.StatusForbidden:
		return "the BSF refuses this subscriber (403): is GBA part of the contract?"
	case e.Status == http.StatusOK:
		return "the BSF answers without asking the SIM anything: is this a BSF?"
	case e.Status >= 300 && e.Status < 400:
		return fmt.Sprintf("the BSF sends elsewhere (%d), where nobody follows: is this a BSF, or a hotspot's login page?", e.Status)
	case e.Status == http.StatusServiceUnavailable:
		return "the BSF is busy or down (503)"
	}
	return fmt.Sprintf("the BSF answers with HTTP status %d", e.Status)
}

// attemptTimeout bounds one request to the BSF.
const attemptTimeout = 30 * time.Second

// Bootstrap runs the procedure once (TS 24.109 clause 5): it asks, has the SIM
// answer the challenge, and checks that the BSF's answer was made by who knows
// the SIM's RES. It resynchronises once. Nothing is sent after a challenge that is
// not the operator's.
func Bootstrap(ctx context.Context, c Config) (*Bootstrapped, error) {
	u, err := newUb(ctx, c)
	if err != nil {
		return nil, err
	}
	first, err := announcement(u.impi, u.realm, u.uri)
	if err != nil {
		return nil, err
	}
	ch, err := u.ask(ctx, first)
	if err != nil {
		return nil, err
	}
	v, err := u.card.Authenticate(ctx, ch.rand, ch.autn)
	var sync *SyncError
	if errors.As(err, &sync) {
		if ch, err = u.resynchronise(ctx, ch, sync); err != nil {
			return nil, err
		}
		v, err = u.card.Authenticate(ctx, ch.rand, ch.autn)
	}
	if err != nil {
		return nil, fmt.Errorf("asking the SIM: %w", err)
	}
	defer v.Wipe()
	if err := v.check(); err != nil {
		return nil, err
	}
	return u.answer(ctx, ch, v)
}

// ub is one run.
type ub struct {
	card                   Card
	client                 http.Client
	bsf, uri               string
	impi, realm, userAgent string
	now                    func() time.Time
}

func newUb(ctx context.Context, c Config) (*ub, error) {
	u := &ub{card: c.Card, client: *c.HTTP, bsf: c.BSF, uri: "/", impi: c.IMPI, realm: c.Realm, userAgent: c.UserAgent, now: c.Now}
	u.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	u.client.Jar = nil
	if u.userAgent == "" {
		u.userAgent = "3gpp-gba"
	}
	if u.bsf == "" || u.impi == "" {
		s, err := c.Card.Subscriber(ctx)
		if err != nil {
			return nil, fmt.Errorf("asking the SIM who it is: %w", err)
		}
		if err := s.check(); err != nil {
			return nil, err
		}
		if u.bsf == "" {
			u.bsf = "http://" + s.BSF()
		}
		if u.impi == "" {
			u.impi = s.IMPI()
		}
	}
	if err := CheckBSF(u.bsf); err != nil {
		return nil, err
	}
	if where, err := url.Parse(u.bsf); err == nil && u.realm == "" {
		u.realm = where.Hostname()
	}
	return u, nil
}

// CheckBSF says what is wrong with a BSF's URL, if anything is. It has no path: the
// one that is asked for is "/" (TS 24.109).
func CheckBSF(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("a BSF's URL is http://HOST[:PORT], or https")
	}
	return nil
}

// do sends a GET and reads at most maxInfo bytes of its answer.
func (u *ub) do(outer context.Context, authorization string) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(outer, attemptTimeout)
	defer cancel()
	failed := func(doing string, err error) (*http.Response, []byte, error) {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err // what it says besides is in doing
		}
		switch {
		case outer.Err() != nil:
			return nil, nil, outer.Err()
		case ctx.Err() != nil:
			err = fmt.Errorf("it says nothing for %s", attemptTimeout)
		}
		return nil, nil, fmt.Errorf("%s %s: %w", doing, u.bsf, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(u.bsf, "/")+u.uri, nil)
	if err != nil {
		return failed("asking the BSF", err)
	}
	req.Header.Set("User-Agent", u.userAgent)
	req.Header.Set("Authorization", authorization)
	resp, err := u.client.Do(req)
	if err != nil {
		return failed("asking the BSF", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxInfo+1))
	if err != nil {
		return failed("reading the answer of the BSF", err)
	}
	if len(body) > maxInfo {
		return nil, nil, fmt.Errorf("the BSF's answer is longer than %d bytes", maxInfo)
	}
	return resp, body, nil
}

// ask sends what is to be answered by a challenge. A BSF may offer several; one that
// can be taken up is enough.
func (u *ub) ask(ctx context.Context, authorization string) (*challenge, error) {
	resp, _, err := u.do(ctx, authorization)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusUnauthorized {
		return nil, &StatusError{resp.StatusCode}
	}
	err = errors.New("the BSF's answer has no challenge in it")
	for _, header := range resp.Header.Values("WWW-Authenticate") {
		c, parseErr := parseChallenge(header)
		if parseErr == nil {
			return c, nil
		}
		err = parseErr
	}
	return nil, err
}

func (u *ub) exchange(ch *challenge) *exchange {
	return &exchange{challenge: ch, impi: u.impi, method: http.MethodGet, uri: u.uri, cnonce: randomHex()}
}

func randomHex() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// resynchronise tells the BSF what the SIM has seen; the password is then empty
// (RFC 3310 section 3.4).
func (u *ub) resynchronise(ctx context.Context, ch *challenge, s *SyncError) (*challenge, error) {
	x := u.exchange(ch)
	header, err := x.authorization(x.a1(nil), base64.StdEncoding.EncodeToString(s.AUTS[:]))
	if err != nil {
		return nil, err
	}
	next, err := u.ask(ctx, header)
	if err != nil {
		return nil, fmt.Errorf("resynchronising: %w", err)
	}
	return next, nil
}

// answer proves the SIM, and takes what the BSF proves in return.
func (u *ub) answer(ctx context.Context, ch *challenge, v *Vector) (*Bootstrapped, error) {
	x := u.exchange(ch)
	a1 := x.a1(v.RES)
	header, err := x.authorization(a1, "")
	if err != nil {
		return nil, err
	}
	resp, body, err := u.do(ctx, header)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{resp.StatusCode}
	}
	p, err := parseList(resp.Header.Get("Authentication-Info"))
	if err != nil {
		return nil, fmt.Errorf("the BSF's Authentication-Info: %w", err)
	}
	// Over plain HTTP this alone says that B-TID and lifetime are the BSF's.
	if subtle.ConstantTimeCompare([]byte(strings.ToLower(p["rspauth"])), []byte(x.rspauth(a1, body))) != 1 {
		return nil, errors.New("the BSF's answer does not prove that it knows the SIM (rspauth is missing or wrong): it was changed on its way, or is not the operator's")
	}
	i, err := parseInfo(body)
	if err != nil {
		return nil, fmt.Errorf("the BSF's answer: %w", err)
	}
	if !i.lifetime.After(u.now()) {
		return nil, fmt.Errorf("the BSF's key is over since %s: is the router's clock right?", i.lifetime.UTC().Format(time.RFC3339))
	}
	b := &Bootstrapped{BTID: i.btid, Expires: i.lifetime, IMPI: u.impi, rand: ch.rand}
	copy(b.ks[:16], v.CK[:])
	copy(b.ks[16:], v.IK[:])
	return b, nil
}

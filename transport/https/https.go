// Package https asks the CPNS Server: one POST of a sealed body, one sealed
// body back (interface CPNS-2: docs/protocol.md, section 3).
//
// It is called by the agent, through the interface that the agent declares. It
// knows HTTP and TLS and nothing else: what the bodies mean, how they are
// sealed and how large they may be is said by its caller. It promises three
// things that a request which must not be lost needs: every try sends the same
// bytes, so that a lost response costs nothing; whatever the other side does,
// memory and time stay bounded; and a failure says in words what to do about it.
//
// Nothing is read from the environment. A proxy variable that somebody left in
// an init script must not decide where a router sends its users' requests; a proxy
// is named in the configuration.
package https

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"cpns.example.net/pngw/transport"
)

const (
	defaultTimeout     = 30 * time.Second
	defaultMaxResponse = 64 << 10

	dialTimeout      = 10 * time.Second
	handshakeTimeout = 15 * time.Second // a 400 MHz MIPS needs seconds for RSA-4096

	idleTimeout = 5 * time.Second // a batch's next request comes sooner
	maxIdle     = 4

	maxResponseHeader = 16 << 10
)

// Config says which server to ask, and whom to take for it.
type Config struct {
	// Server is the server's address, https://host[:port][/prefix]. A port
	// other than 443 must be given.
	Server string
	// CAFile names a PEM file of the certificates to trust. Empty: the system's.
	// It is read by New, and again for each request.
	CAFile string
	// PinSPKI, if not empty, is the base64 of the SHA-256 of the server's
	// SubjectPublicKeyInfo. It is checked besides the certificate chain, never
	// in its place.
	PinSPKI string
	// Pins are what enrolment left, as it is now; nil or none for a gateway that is
	// known by something else. The server is verified against them in place of the
	// system's roots, and besides against CAFile and PinSPKI where there are any.
	Pins func() []Pin

	// Proxy is the HTTP proxy to ask through, http://host:port, "" for none.
	Proxy string
	// ProxyIgnored has the advice of an unreachable server say that HTTPS_PROXY,
	// which is set, is not used.
	ProxyIgnored bool

	// Path follows Server's prefix and begins with a slash.
	Path string
	// ContentType is sent as it stands and wanted of a successful answer.
	ContentType string
	// MaxResponse is the largest answer accepted, in bytes. 0: 64 KiB.
	MaxResponse int64

	// Timeout bounds one try, from looking up the name to the last byte. 0: 30 s.
	Timeout time.Duration
	// Now tells the time by which certificates are judged. Nil: time.Now.
	Now func() time.Time
	// Log hears of tries that are repeated. Nil: nobody does.
	Log *slog.Logger
}

// Client asks one server. It is safe for concurrent use. A connection stays open for
// what else the same batch asks, and is closed soon after.
type Client struct {
	url         string
	host        string // host:port, for people
	contentType string
	mediaType   string            // of contentType
	mediaParams map[string]string // of contentType
	maxResponse int64
	timeout     time.Duration
	now         func() time.Time
	log         *slog.Logger
	backoff     transport.Backoff // copied by each Post

	proxy        *url.URL // nil for none
	proxyIgnored bool

	caFile, pinSPKI string
	hostname        string // of host, without the port
	pins            func() []Pin
	mu              sync.Mutex
	caText          []byte // of the CA file when transport was made
	pinsThen        []Pin  // when transport was made
	transport       *http.Transport
}

// Response is a successful answer.
type Response struct {
	// Body is at most Config.MaxResponse bytes.
	Body []byte
	// RetryAfter is how long the server asks to wait before another request,
	// 0 where it says nothing.
	RetryAfter time.Duration
}

// New checks the whole configuration and reads the CA file. It sends nothing.
func New(cfg Config) (*Client, error) {
	server, err := parseServer(cfg.Server)
	if err != nil {
		return nil, &transport.OptionError{Option: "server", Err: err}
	}
	proxy, err := parseProxy(cfg.Proxy)
	if err != nil {
		return nil, &transport.OptionError{Option: "proxy", Err: err}
	}
	if !strings.HasPrefix(cfg.Path, "/") {
		return nil, fmt.Errorf("path %q: must begin with a slash", cfg.Path)
	}
	mediaType, mediaParams, err := mime.ParseMediaType(cfg.ContentType)
	if err != nil {
		return nil, fmt.Errorf("content type %q: %w", cfg.ContentType, err)
	}
	if cfg.MaxResponse < 0 || cfg.Timeout < 0 {
		return nil, errors.New("response limit and timeout must not be negative")
	}
	c := &Client{
		url:         server.String() + cfg.Path,
		host:        server.Host,
		contentType: cfg.ContentType,
		mediaType:   mediaType,
		mediaParams: mediaParams,
		maxResponse: cmp.Or(cfg.MaxResponse, defaultMaxResponse),
		timeout:     cmp.Or(cfg.Timeout, defaultTimeout),
		now:         cfg.Now,
		log:         cfg.Log,
		backoff:     transport.Backoff{Min: minBackoff, Max: maxBackoff},
		caFile:      cfg.CAFile,
		pinSPKI:     cfg.PinSPKI,
		hostname:    server.Hostname(),
		pins:        cfg.Pins,

		proxy:        proxy,
		proxyIgnored: cfg.ProxyIgnored && proxy == nil,
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if _, err := c.trusting(); err != nil {
		return nil, err
	}
	return c, nil
}

// newTransport makes an HTTP/1.1 client. A handshake costs a router more than all else
// about a request, so its connection waits for the next one of a batch; but batches
// are minutes or months apart, and a connection kept for those would be dead when it is
// wanted. A session ticket makes their handshakes short all the same.
func newTransport(tlsConfig *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    handshakeTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConnsPerHost:    maxIdle,
		DisableCompression:     true, // a sealed body does not shrink, but a bomb grows
		Protocols:              protocols,
	}
}

// parseServer accepts an address that is exactly a place to send to: what a
// typing error would add to it, such as credentials or a query, is refused.
func parseServer(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New("there is none")
	}
	u, err := url.Parse(s)
	if err != nil {
		// url.Error repeats the whole address, which may hold a password.
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("not a URL: %w", err)
	}
	switch {
	case u.User != nil:
		return nil, errors.New("must not contain a user name or password: the gateway is known by its PSK1")
	case u.Scheme != "https":
		return nil, fmt.Errorf("%q: must begin with https://, keys travel over nothing else", s)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q: has no host name", s)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%q: must end with the path", s)
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%q: the port must be 1 to 65535", s)
		}
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return u, nil
}

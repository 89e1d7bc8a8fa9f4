// Package bsf asks a 3GPP operator's bootstrapping server for Ks_NAF, as a NAF does:
// Nbsp_GBA, TS 29.309, over HTTP/2 or HTTP/1.1. It is the server.BSF of a CPNS Server
// whose gateways have SIMs (docs/protocol.md, section 8).
package bsf

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

const (
	retrievalPath = "/nbsp-gba/v1/bootstrapping-info-retrieval"
	answerSize    = 16 << 10
	answerTime    = 10 * time.Second
	tokenSize     = 16 << 10
	keySize       = 32 // of Ks_NAF
)

// Config is what the operator's contract says.
type Config struct {
	URL       string // of the BSF, without the path that TS 29.309 gives
	CA        []byte // PEM; nil for the system's roots
	Cert      *tls.Certificate
	TokenFile string  // a bearer token, read anew for each question; "" for none
	NAFHost   string  // the host name by which gateways call this server
	UA        [5]byte // the Ua security protocol identifier that was agreed on
}

// Client asks one BSF.
type Client struct {
	url    string
	config Config
	http   *http.Client
}

// New makes a Client. It asks nothing yet.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the BSF's URL is not https://HOST[:PORT][/PATH]")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, errors.New("the BSF's URL is not https: the keys would be readable on the way")
	}
	if c.NAFHost == "" {
		return nil, errors.New("the NAF's host name is missing")
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != nil {
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(c.CA) {
			return nil, errors.New("the BSF's CA is no certificate in PEM")
		}
	}
	if c.Cert != nil {
		secure.Certificates = []tls.Certificate{*c.Cert}
	}
	c.NAFHost = strings.ToLower(c.NAFHost) // as gateways have it in their key
	return &Client{
		url:    strings.TrimSuffix(c.URL, "/") + retrievalPath,
		config: c,
		http: &http.Client{
			Timeout: answerTime,
			Transport: &http.Transport{
				TLSClientConfig: secure, ForceAttemptHTTP2: true, DisableCompression: true,
				TLSHandshakeTimeout: answerTime, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4, MaxResponseHeaderBytes: answerSize,
				DialContext: (&net.Dialer{Timeout: answerTime}).DialContext,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Retrieve asks for the Ks_NAF of a B-TID.
func (c *Client) Retrieve(ctx context.Context, id cpns.PSKIdentity) (*server.Bootstrapped, error) {
	got, err := c.retrieve(ctx, id)
	if err != nil && !errors.Is(err, server.ErrNotFound) {
		return nil, fmt.Errorf("asking the BSF: %w", err)
	}
	return got, err
}

func (c *Client) retrieve(ctx context.Context, id cpns.PSKIdentity) (*server.Bootstrapped, error) {
	type nafID struct {
		FQDN string `json:"nafFqdn"`
		UA   string `json:"uaSecProtId"`
	}
	question, err := json.Marshal(struct {
		BTID  cpns.PSKIdentity `json:"btId"`
		NAFID nafID            `json:"nafId"`
		Aware bool             `json:"gbaUAware"`
	}{id, nafID{c.config.NAFHost, hex.EncodeToString(c.config.UA[:])}, false})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(question))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, application/problem+json")
	if err := c.authorize(req); err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerSize+1))
	defer clear(body)
	switch kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); {
	case err != nil:
		return nil, err
	case res.StatusCode == http.StatusNotFound && kind == "application/problem+json":
		return nil, server.ErrNotFound // a 404 of anything else is a wrong URL
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answers HTTP %d", res.StatusCode)
	case kind != "application/json":
		return nil, errors.New("its answer is no JSON")
	case len(body) > answerSize:
		return nil, fmt.Errorf("its answer has more than %d bytes", answerSize)
	}
	return parse(body)
}

// authorize adds the bearer token, as it is in its file now: they change.
func (c *Client) authorize(req *http.Request) error {
	if c.config.TokenFile == "" {
		return nil
	}
	f, err := os.Open(c.config.TokenFile)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, tokenSize+1))
	if err != nil {
		return err
	}
	defer clear(text)
	token := string(bytes.TrimSpace(text))
	if token == "" || len(text) > tokenSize || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%s is no bearer token", c.config.TokenFile)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// parse reads an answer. Its errors say nothing of the key in it.
func parse(body []byte) (*server.Bootstrapped, error) {
	var in struct {
		Key  string `json:"meKeyMaterial"`
		Ends string `json:"keyExpiryTime"`
		IMPI string `json:"impi"`
	}
	if json.Unmarshal(body, &in) != nil {
		return nil, errors.New("its answer is not the JSON that it should be")
	}
	key, err := hex.DecodeString(in.Key)
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("its answer has no meKeyMaterial of %d bytes", keySize)
	}
	ends, err := time.Parse(time.RFC3339, in.Ends)
	if err != nil || ends.IsZero() { // zero would be for ever
		return nil, errors.New("its answer has no keyExpiryTime")
	}
	if err := server.CheckIMPI(in.IMPI); err != nil {
		return nil, errors.New("its answer has no impi: the contract has to say that this server gets it")
	}
	return &server.Bootstrapped{Key: key, IMPI: in.IMPI, Ends: ends}, nil
}

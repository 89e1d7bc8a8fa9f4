package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"cpns.example.net/pngw/internal/secretfile"
	"cpns.example.net/pngw/transport"
)

// option names the option that err is about.
func option(name string, err error) error { return &transport.OptionError{Option: name, Err: err} }

// connectTimeout bounds everything from name resolution to CONNACK.
const connectTimeout = 20 * time.Second

// A broker is where a Link connects to, and how.
type broker struct {
	host string // name or address, for the certificate
	addr string // host:port
	tls  bool

	caFile, certFile, keyFile string // PEM; empty: system roots, no client certificate

	clientID string // for messages
}

// parseURL takes a broker's URL apart. Its errors never quote the URL: a password may be in it.
func parseURL(s string) (broker, error) {
	u, err := url.Parse(s)
	if err != nil {
		return broker{}, errors.New("not valid: write it as mqtt://HOST:PORT or mqtts://HOST:PORT")
	}
	if u.User != nil {
		return broker{}, errors.New("holds a user name: use username and password_file instead")
	}
	var b broker
	port := "1883"
	switch u.Scheme {
	case "mqtt", "tcp":
	case "mqtts", "ssl":
		b.tls, port = true, "8883"
	case "ws", "wss":
		return broker{}, errors.New("MQTT over WebSocket is not supported: use mqtt:// or mqtts://")
	default:
		return broker{}, errors.New("the scheme is not mqtt: write it as mqtt://HOST:PORT or mqtts://HOST:PORT")
	}
	if b.host = u.Hostname(); b.host == "" {
		return broker{}, errors.New("names no host")
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return broker{}, errors.New("has something behind host and port: topics are set by prefix")
	}
	if p := u.Port(); p != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return broker{}, errors.New("the port must be 1 to 65535")
		}
		port = p
	}
	b.addr = net.JoinHostPort(b.host, port)
	return b, nil
}

// place is host and port in the one spelling that they have for everybody who means
// the same.
func (b *broker) place() string {
	host, port, err := net.SplitHostPort(b.addr)
	if err != nil {
		return b.addr
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		port = strconv.FormatUint(n, 10)
	}
	return net.JoinHostPort(strings.ToLower(strings.TrimSuffix(host, ".")), port)
}

// tlsConfig reads the configured files. It is read anew for each connection, so that
// a renewed certificate needs no restart.
func (b *broker) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{ServerName: b.host, MinVersion: tls.VersionTLS12}
	if b.caFile != "" {
		pem, err := readSmall(b.caFile)
		if err != nil {
			return nil, option("ca", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, option("ca", fmt.Errorf("%s holds no PEM certificate", b.caFile))
		}
	}
	if b.certFile != "" {
		pair, err := tls.LoadX509KeyPair(b.certFile, b.keyFile)
		if err != nil {
			name := "cert"
			if e := (*fs.PathError)(nil); errors.As(err, &e) && e.Path == b.keyFile {
				name = "key"
			}
			return nil, option(name, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// dial connects, and speaks TLS where configured.
func (b *broker) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	tcp, err := new(net.Dialer).DialContext(ctx, "tcp", b.addr)
	if err != nil {
		return nil, err
	}
	conn := quickAck{tcp.(*net.TCPConn)}
	if !b.tls {
		return conn, nil
	}
	cfg, err := b.tlsConfig()
	if err != nil {
		conn.Close()
		return nil, err
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		if isClosed(err) && ctx.Err() == nil {
			err = &closedError{stage: inTLS, tls: true}
		}
		return nil, err
	}
	return secure, nil
}

// readSmall reads a file that is at most 1 MiB long.
func readSmall(name string) ([]byte, error) {
	const limit = 1 << 20
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && len(b) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	return b, err
}

// maxPassword bounds a password, in bytes: some brokers take tokens for one.
const maxPassword = 8 << 10

// readPassword reads a password file.
func readPassword(name string) (string, error) {
	b, err := secretfile.Read(name, maxPassword)
	if err != nil {
		return "", option("password_file", err)
	}
	return string(b), nil
}

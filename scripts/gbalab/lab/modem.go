package lab

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Modem is a modem with a soft SIM. Its zero behaviour is that of a well-made one;
// the switches make it like others.
type Modem struct {
	SIM     *Subscriber // nil for no card
	Quirks  Quirks
	mu      sync.Mutex
	echo    bool
	session bool // CCHO's
	channel bool // CSIM's logical channel
	pending []byte
}

// Quirks are ways in which modems differ.
type Quirks struct {
	NoCCHO      bool   // it knows AT+CSIM only
	NoCSIM      bool   // it knows neither
	AlwaysEcho  bool   // ATE0 does nothing
	Unsolicited bool   // lines that nobody asked for stand between others
	CPIN        string // what AT+CPIN? says instead of READY
	CME         string // an error that AT+CPIN? answers with
	Silent      bool   // it takes commands and says nothing
	Dies        string // the command from which on it is silent
	Busy        int    // so many commands are answered with "SIM busy" first
	Prefix      bool   // +CCHO: before the session
	Handle      int    // the session that CCHO opens, 1 where it is 0
}

// Insert changes the card, nil for none.
func (m *Modem) Insert(s *Subscriber) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s != m.SIM {
		m.SIM, m.session, m.channel, m.pending = s, false, false, nil
	}
}

// Change changes both.
func (m *Modem) Change(s *Subscriber, q Quirks) {
	m.Insert(s)
	m.Behave(q)
}

// Behave changes how the modem is.
func (m *Modem) Behave(q Quirks) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Quirks = q
}

// Serve answers commands until rw ends.
func (m *Modem) Serve(rw io.ReadWriter) error {
	m.mu.Lock()
	m.echo = true
	m.mu.Unlock()
	r := bufio.NewReaderSize(rw, 1024)
	for {
		line, err := r.ReadSlice('\r')
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return err
		}
		command := strings.TrimSpace(string(line))
		if command == "" {
			continue
		}
		var out strings.Builder
		lines, quirks, echo := m.answer(command)
		if echo || quirks.AlwaysEcho {
			out.WriteString(command + "\r\r\n")
		}
		if quirks.Unsolicited {
			out.WriteString("\r\n+CREG: 2,\"00C3\",\"0000BEEF\",7\r\n")
		}
		if quirks.Silent {
			continue
		}
		for _, l := range lines {
			out.WriteString("\r\n" + l + "\r\n")
		}
		if _, err := io.WriteString(rw, out.String()); err != nil {
			return err
		}
	}
}

// answer is the answer, and how the modem was when the command came.
func (m *Modem) answer(command string) (lines []string, q Quirks, echo bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Quirks.Dies != "" && strings.HasPrefix(command, m.Quirks.Dies) {
		m.Quirks.Silent = true
	}
	q, echo = m.Quirks, m.echo
	return m.obey(command), q, echo
}

func (m *Modem) obey(command string) []string {
	if m.Quirks.Busy > 0 && strings.HasPrefix(command, "AT+C") {
		m.Quirks.Busy--
		return []string{"+CME ERROR: 14"}
	}
	name, argument, _ := strings.Cut(command, "=")
	switch {
	case command == "AT" || command == "AT+CMEE=1":
		return []string{"OK"}
	case command == "ATE0":
		m.echo = false
		return []string{"OK"}
	case m.SIM == nil:
		return []string{"+CME ERROR: 10"}
	case command == "AT+CPIN?" && m.Quirks.CME != "":
		return []string{"+CME ERROR: " + m.Quirks.CME}
	case command == "AT+CPIN?":
		state := "READY"
		if m.Quirks.CPIN != "" {
			state = m.Quirks.CPIN
		}
		return []string{"+CPIN: " + state, "OK"}
	case command == "AT+CIMI":
		return []string{m.SIM.IMSI, "OK"}
	case name == "AT+CCHO" && !m.Quirks.NoCCHO && !m.Quirks.NoCSIM:
		m.session = true
		handle := fmt.Sprint(max(1, m.Quirks.Handle))
		if m.Quirks.Prefix {
			handle = "+CCHO: " + handle
		}
		return []string{handle, "OK"}
	case name == "AT+CCHC" && m.session:
		m.session = false
		return []string{"OK"}
	case name == "AT+CGLA" && m.session:
		_, rest, _ := strings.Cut(argument, ",")
		return m.exchange(rest, "+CGLA")
	case name == "AT+CSIM" && !m.Quirks.NoCSIM:
		return m.exchange(argument, "+CSIM")
	}
	return []string{"ERROR"}
}

func (m *Modem) exchange(argument, prefix string) []string {
	length, text, _ := strings.Cut(argument, ",")
	text = strings.Trim(text, `"`)
	apdu, err := hex.DecodeString(text)
	if err != nil || length != fmt.Sprint(len(text)) || len(apdu) < 4 {
		return []string{"+CME ERROR: 50"}
	}
	response := strings.ToUpper(hex.EncodeToString(m.apdu(apdu, prefix == "+CGLA")))
	return []string{fmt.Sprintf(`%s: %d,"%s"`, prefix, len(response), response), "OK"}
}

// apdu is the SIM. Its answers to AUTHENTICATE have to be fetched, and those to
// READ BINARY need their length said: as most cards have it.
func (m *Modem) apdu(a []byte, session bool) []byte {
	channel := a[0] & 3
	if session && channel != 0 || !session && channel != 0 && !m.channel {
		return []byte{0x68, 0x81} // logical channel not supported
	}
	switch {
	case a[1] == 0x70 && a[2] == 0x00:
		m.channel = true
		return []byte{0x01, 0x90, 0x00}
	case a[1] == 0x70:
		m.channel = false
		return []byte{0x90, 0x00}
	case a[1] == 0xa4:
		return []byte{0x90, 0x00}
	case a[1] == 0xb0 && len(a) == 5 && a[4] == 0:
		return []byte{0x6c, 0x04}
	case a[1] == 0xb0:
		return []byte{0x00, 0x00, 0x00, 0x02, 0x90, 0x00} // EF_AD: a network code of two digits
	case a[1] == 0xc0 && m.pending != nil:
		p := m.pending
		m.pending = nil
		return append(p, 0x90, 0x00)
	case a[1] == 0x88 && len(a) >= 39 && a[4] == 0x22 && a[5] == 16 && a[22] == 16:
		return m.authenticate(a[6:22], a[23:39])
	}
	return []byte{0x6d, 0x00}
}

func (m *Modem) authenticate(rand, autn []byte) []byte {
	res, ck, ik, err := m.SIM.authenticate(rand, autn)
	switch err {
	case nil:
		m.pending = append([]byte{0xdb, byte(len(res))}, res...)
		m.pending = append(append(m.pending, 16), ck...)
		m.pending = append(append(m.pending, 16), ik...)
	case errSync:
		m.pending = append([]byte{0xdc, byte(len(res))}, res...)
	default:
		return []byte{0x98, 0x62}
	}
	return []byte{0x61, byte(len(m.pending))}
}

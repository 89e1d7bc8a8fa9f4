package config

import (
	"encoding/hex"
	"errors"
	"strings"
)

// GBA is how PSK1 is had by 3GPP GBA.
type GBA struct {
	BSF  string  // URL, "" for what the SIM says
	CA   string  // file of the certificates that a BSF by https is verified against, "" for the system's
	IMPI string  // "" for what the SIM says
	UA   [5]byte // the Ua security protocol identifier
	SIM  SIM
}

// SIM is where the SIM is. One of the two is not "".
type SIM struct {
	Modem   string // the line on which a modem takes AT commands
	Program string // what asks the SIM
}

// maxIMPI is that of the server, in bytes.
const maxIMPI = 255

// gba reads the options of SourceGBA. They may stand there beside another source.
func (d *decoder) gba(needed bool) GBA {
	g := GBA{BSF: strings.TrimRight(d.String("gba_bsf", ""), "/"), IMPI: d.String("gba_impi", "")}
	if user, realm, _ := strings.Cut(g.IMPI, "@"); g.IMPI != "" && (user == "" || realm == "" || len(g.IMPI) > maxIMPI || strings.ContainsFunc(g.IMPI, notPrintable)) {
		d.Errorf("gba_impi", "%q: an IMPI is USER@REALM", g.IMPI)
	}
	if g.CA = d.path("gba_ca", ""); g.CA != "" && !strings.HasPrefix(g.BSF, "https://") {
		d.Errorf("gba_ca", "goes with an option gba_bsf that begins with https://")
	}
	ua := d.String("gba_ua", "")
	if b, err := hex.DecodeString(ua); err == nil && len(b) == len(g.UA) {
		g.UA = [5]byte(b)
	} else if ua != "" || needed {
		d.Errorf("gba_ua", "%q: want the Ua security protocol identifier that was agreed on with the operator, 5 bytes in hex", ua)
	}
	sim := d.String("sim", "")
	how, path, _ := strings.Cut(sim, ":")
	var err error
	switch {
	case sim == "" && !needed:
	case !strings.HasPrefix(path, "/"):
		err = errors.New("want at: and a modem's line, such as at:/dev/ttyUSB2, or exec: and a program's absolute path")
	case how == "at":
		g.SIM.Modem = path
	case how == "exec":
		g.SIM.Program = path
	default:
		err = errors.New("want at: or exec: in front")
	}
	if err != nil {
		d.Errorf("sim", "%q: %v", sim, err)
	}
	return g
}

func notPrintable(r rune) bool { return r <= ' ' || r > '~' }

package config

import (
	"errors"

	"cpns.example.net/pngw/board/uci"
	"cpns.example.net/pngw/transport"
)

// Fault makes what is wrong with the gateway into an error that names the line of
// the option that it is about: see [Link.Fault].
func (g *Gateway) Fault(option string, err error) error { return fault(g.section, option, err) }

// Fault makes what is wrong with a link, such as its transport's reason to refuse
// the configuration, into an error that names a line: that of the option which a
// *transport.OptionError names, else the section's.
func (l *Link) Fault(err error) error { return fault(l.section, "", err) }

// OptionFault is Fault for what is wrong with one option.
func (l *Link) OptionFault(option string, err error) error { return fault(l.section, option, err) }

// Fault is Link.OptionFault for section service.
func (s *Service) Fault(option string, err error) error { return fault(s.section, option, err) }

// Line is where the link's section begins.
func (l *Link) Line() int { return l.section.Line }

func fault(s uci.Section, option string, err error) error {
	if e := (*transport.OptionError)(nil); errors.As(err, &e) {
		option, err = e.Option, e.Err
	}
	if option == "" {
		return s.Errorf("%v", err)
	}
	for _, o := range s.Options {
		if o.Name == option {
			s.Line = o.Line
		}
	}
	return s.Errorf("option %s: %v", option, err)
}

// A File is one that a person has to bring, by the option that names it.
type File struct{ Option, Path string }

// Files are the link's files.
func (l *Link) Files() []File {
	return given(File{"ca", l.CA}, File{"cert", l.Cert}, File{"key", l.Key}, File{"password_file", l.PasswordFile})
}

// Files are the gateway's files, but for PSK1, of which whoever reads it can say
// more.
func (g *Gateway) Files() []File {
	files := given(File{"ca", g.CA})
	if g.PSKSource == SourceGBA {
		files = append(files, given(File{"gba_ca", g.GBA.CA})...)
	}
	return files
}

func given(all ...File) (files []File) {
	for _, f := range all {
		if f.Path != "" {
			files = append(files, f)
		}
	}
	return files
}

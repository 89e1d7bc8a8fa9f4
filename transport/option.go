package transport

// An OptionError says which option of a configuration makes no sense, and why. New
// of every carrier returns one, so that whoever has read the configuration from a
// file can name the line. Option is the name that such files have for it.
type OptionError struct {
	Option string
	Err    error
}

func (e *OptionError) Error() string { return e.Option + ": " + e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

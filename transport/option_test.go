package transport

import (
	"errors"
	"fmt"
	"testing"
)

// TestAsFlag: what a link refused is said with the name that the option has as a flag.
func TestAsFlag(t *testing.T) {
	why := errors.New("makes no sense")
	for option, want := range map[string]string{
		"url": "--mqtt: makes no sense", "device": "--serial: makes no sense",
		"password_file": "--password-file: makes no sense", "baud": "--baud: makes no sense",
	} {
		err := AsFlag(fmt.Errorf("mqtt link x: %w", &OptionError{Option: option, Err: why}))
		if err.Error() != want || !errors.Is(err, why) {
			t.Errorf("%s: %v, want %s", option, err, want)
		}
	}
	if err := AsFlag(why); err != why {
		t.Error(err)
	}
}

package permission

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDevice asks for the advice itself, because root is refused nothing.
func TestDevice(t *testing.T) {
	node := filepath.Join(t.TempDir(), "002")
	if err := os.WriteFile(node, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Device(node + "/none"); !strings.Contains(got, "folder is closed") {
		t.Errorf("no such file: %q", got)
	}
	if got := Device(node); !strings.Contains(got, "and its mode -rw-------: have a hotplug script") {
		t.Errorf("mode 0600: %q", got)
	}
	if err := os.Chmod(node, 0o660); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(node, -1, 4321); err != nil {
		t.Logf("not root: the group stays %d", os.Getgid())
		return
	}
	if got, want := Device(node), "run this program in group 4321 (gid 4321)"; got != want {
		t.Errorf("group 4321: got %q, want %q", got, want)
	}
}

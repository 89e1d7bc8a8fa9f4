//go:build usbguest

package usbip

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestGuestKit has the conformance kit try the program pne over USB, as somebody who builds a
// device would: both programs as they are delivered, gousb, libusb and the kernel between.
// Its power goes by the kit's own word. The kit must also find a device with another TK.
func TestGuestKit(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	tk := file("tk", strings.Repeat("5a", 32)+"\n", 0o600)
	other := file("other", strings.Repeat("a5", 32)+"\n", 0o600)
	pid := filepath.Join(folder, "pid")
	off := `if read -r pid <` + pid + `; then kill "$pid"; while kill -0 "$pid"; do sleep 0.1; done; fi 2>/dev/null; rm -f ` + pid
	cycle := file("cycle", off+`
[ "$1" = off ] && exit
/pne --entity-id kit-1 --tk-file `+tk+` --state `+folder+`/state --usbip vhci --x25519 >>`+folder+`/log 2>&1 &
echo $! >`+pid+"\n", 0o700)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	sh := func(arg string) {
		if out, err := exec.CommandContext(ctx, "/bin/sh", cycle, arg).CombinedOutput(); err != nil {
			t.Fatalf("the device %s: %v, %s", arg, err, out)
		}
	}
	sh("on")
	t.Cleanup(func() {
		exec.Command("/bin/sh", cycle, "off").Run()
		if t.Failed() {
			log, _ := os.ReadFile(folder + "/log")
			t.Logf("pne: %s", log)
		}
	})
	kit := func(tk, only string) (string, int) {
		cmd := exec.CommandContext(ctx, "/cpns-conform", "pne", "--entity-id", "kit-1", "--tk-file", tk,
			"--usb", "any", "--usb-serial", "kit-1", "--power-cycle", "/bin/sh "+cycle+" on", "--only", only)
		out, err := cmd.CombinedOutput()
		t.Logf("cpns-conform:\n%s", out)
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}

	// A few: all that apply, 87, passed by hand and took two minutes here.
	out, code := kit(tk, "hello-bytes,update-taken,power-stored")
	for _, want := range []string{"pass  power-stored ", "3 passed, 0 failed,"} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q", want)
		}
	}
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	if out, code = kit(other, "hello-tag"); code != 3 || !strings.Contains(out, "FAIL  hello-tag ") {
		t.Errorf("another TK: exit code %d", code)
	}
}

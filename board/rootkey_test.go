package board

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func rootKeyPath(t *testing.T) string { return filepath.Join(t.TempDir(), "root.key") }

func rootfs(name string) *Board { return New("testdata/rootfs-" + name) }

// mustCreate makes a root key on a board and returns its path and device secret.
func mustCreate(t *testing.T, b *Board) (string, [32]byte) {
	t.Helper()
	path := rootKeyPath(t)
	if err := b.CreateRootKey(path); err != nil {
		t.Fatal(err)
	}
	secret, err := b.DeviceSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, secret
}

func TestRootKeyFiles(t *testing.T) {
	path, secret := mustCreate(t, rootfs("openwrt-mips"))
	for _, file := range []string{path, path + BindingExt} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o400 {
			t.Errorf("%s: mode %04o, want 0400", file, info.Mode().Perm())
		}
	}
	key, err := os.ReadFile(path)
	if err != nil || len(key) != RootKeySize {
		t.Fatalf("root key of %d bytes, %v; want %d", len(key), err, RootKeySize)
	}
	binding, err := os.ReadFile(path + BindingExt)
	if err != nil {
		t.Fatal(err)
	}
	for _, secretBytes := range [][]byte{key, secret[:]} {
		if bytes.Contains(binding, secretBytes) {
			t.Error("the binding shows a secret")
		}
	}
	if bytes.Contains(binding, []byte("50:c7")) {
		t.Error("the binding shows an id")
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/*.tmp"); left != nil {
		t.Errorf("left over: %q", left)
	}
}

func TestRootKeyNeverOverwritten(t *testing.T) {
	b := rootfs("openwrt-mips")
	path, secret := mustCreate(t, b)
	if err := b.CreateRootKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second CreateRootKey: got %v, want fs.ErrExist", err)
	}
	if again, err := b.DeviceSecret(path); err != nil || again != secret {
		t.Errorf("device secret changed, or %v", err)
	}
	_, other := mustCreate(t, b)
	if other == secret {
		t.Error("two root keys give one device secret")
	}
}

// Of many at once one makes the root key, and what is there then fits together.
func TestCreateRootKeyAtOnce(t *testing.T) {
	b, path := rootfs("openwrt-mips"), rootKeyPath(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = b.CreateRootKey(path) })
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, fs.ErrExist):
			t.Errorf("got %v, want fs.ErrExist", err)
		}
	}
	if made != 1 {
		t.Errorf("%d made the root key, want 1", made)
	}
	if _, err := b.DeviceSecret(path); err != nil {
		t.Error(err)
	}
}

func TestOtherBoard(t *testing.T) {
	names := []string{"openwrt-mips", "openwrt-arm-dt", "debian-x86-dmi", "qemu-malta", "bare"}
	for _, made := range names {
		path, secret := mustCreate(t, rootfs(made))
		bound := len(mustIdentity(t, "testdata/rootfs-"+made).IDs) > 0
		for _, here := range names {
			got, err := rootfs(here).DeviceSecret(path)
			if made == here || !bound {
				if err != nil || got != secret {
					t.Errorf("made on %s, opened on %s: %v", made, here, err)
				}
				continue
			}
			var wrong *WrongBoardError
			if !errors.As(err, &wrong) || got != [32]byte{} {
				t.Errorf("made on %s, opened on %s: got %v, want a *WrongBoardError", made, here, err)
				continue
			}
			for _, root := range []string{made, here} {
				if name := mustIdentity(t, "testdata/rootfs-"+root).String(); !strings.Contains(err.Error(), name) {
					t.Errorf("error does not name %q: %v", name, err)
				}
			}
		}
	}
}

// What a power cut left beside the root key is gone after the next start, and only that. It may be the root
// key itself under a second name.
func TestLeftOversGo(t *testing.T) {
	b := rootfs("openwrt-mips")
	path, secret := mustCreate(t, b)
	if err := os.Link(path, path+".tmp"); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(path), "psk1.tmp")
	for _, file := range []string{path + BindingExt + ".tmp", other} {
		if err := os.WriteFile(file, []byte("half"), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := b.DeviceSecret(path); err != nil || got != secret {
		t.Errorf("device secret changed, or %v", err)
	}
	left, err := filepath.Glob(filepath.Dir(path) + "/*.tmp")
	if err != nil || len(left) != 1 || left[0] != other {
		t.Errorf("left over: %q, %v; want only %s", left, err, other)
	}
}

// Without /sys the right board shows no id. Whoever reads the message must not lose their keys by it.
func TestWrongBoardAdvice(t *testing.T) {
	path, _ := mustCreate(t, rootfs("openwrt-arm-dt"))
	partly := copyRoot(t, "openwrt-arm-dt")
	if err := errors.Join(os.RemoveAll(filepath.Join(partly, "sys/firmware")), os.RemoveAll(filepath.Join(partly, "sys/block")),
		os.RemoveAll(filepath.Join(partly, "sys/bus"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(partly, "sys/devices/soc0/serial_number"), "00a1b2c3d4e5f607\n")
	another := copyRoot(t, "openwrt-arm-dt")
	if err := os.RemoveAll(filepath.Join(another, "sys/bus")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(another, "sys/firmware/devicetree/base/serial-number"), "BPIR3-22A0417-0094")
	write(t, filepath.Join(another, "sys/block/mmcblk0/device/cid"), "150100384754443452010f1a2b3c4d01\n")
	for _, tt := range []struct{ name, root, want string }{
		{"nothing", t.TempDir(), "is /sys mounted?"},
		{"a part", partly, "see that all of /sys is mounted"},
		{"another board", another, "move root key and key store away"},
	} {
		_, err := New(tt.root).DeviceSecret(path)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "remove") {
			t.Errorf("%s: tells to remove something: %v", tt.name, err)
		}
		if tt.name == "another board" && strings.Contains(err.Error(), "/sys") {
			t.Errorf("asks for /sys, which is there: %v", err)
		}
	}
}

// An upgrade hides ids and shows new ones: one of the first is enough.
func TestUpgradeChangesIDs(t *testing.T) {
	remove := func(file string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			if err := os.Remove(filepath.Join(root, file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name   string
		change []func(*testing.T, string)
		wrong  bool
	}{
		{"one hidden", []func(*testing.T, string){remove("sys/firmware/devicetree/base/serial-number")}, false},
		{"two hidden", []func(*testing.T, string){
			remove("sys/firmware/devicetree/base/serial-number"),
			remove("sys/bus/nvmem/devices/mtd0-factory-otp/nvmem"),
		}, false},
		{"one new", []func(*testing.T, string){func(t *testing.T, root string) {
			write(t, filepath.Join(root, "sys/devices/soc0/serial_number"), "00a1b2c3d4e5f607\n")
		}}, false},
		{"all hidden", []func(*testing.T, string){
			remove("sys/firmware/devicetree/base/serial-number"),
			remove("sys/bus/nvmem/devices/mtd0-factory-otp/nvmem"),
			remove("sys/block/mmcblk0/device"),
		}, true},
		{"the same number from another source", []func(*testing.T, string){
			remove("sys/bus/nvmem/devices/mtd0-factory-otp/nvmem"),
			remove("sys/block/mmcblk0/device"),
			func(t *testing.T, root string) {
				from := filepath.Join(root, "sys/firmware/devicetree/base/serial-number")
				to := filepath.Join(root, "proc/device-tree/serial-number")
				if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Rename(from, to)); err != nil {
					t.Fatal(err)
				}
			},
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := copyRoot(t, "openwrt-arm-dt")
			path, secret := mustCreate(t, New(root))
			for _, change := range tt.change {
				change(t, root)
			}
			got, err := New(root).DeviceSecret(path)
			var wrong *WrongBoardError
			if errors.As(err, &wrong) != tt.wrong {
				t.Fatalf("got %v, want wrong board %v", err, tt.wrong)
			}
			if !tt.wrong && got != secret {
				t.Error("device secret changed")
			}
		})
	}
}

func TestDeviceSecretRefuses(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, path string)
		want  string
	}{
		{"no root key", func(t *testing.T, path string) { os.Remove(path) }, "run pngw init"},
		{"root key open to others", func(t *testing.T, path string) { os.Chmod(path, 0o444) }, "run chmod 400"},
		{"root key cut", func(t *testing.T, path string) { rewrite(t, path, make([]byte, 16)) }, "16 bytes, want 32"},
		{"root key all zero", func(t *testing.T, path string) { rewrite(t, path, make([]byte, 32)) }, "is not a root key"},
		{"root key too long", func(t *testing.T, path string) { rewrite(t, path, bytes.Repeat([]byte{7}, 33)) }, "33 bytes, want 32"},
		{"root key of another binding", func(t *testing.T, path string) { rewrite(t, path, bytes.Repeat([]byte{7}, 32)) }, "do not belong together"},
		{"root key a folder", func(t *testing.T, path string) { os.Remove(path); os.Mkdir(path, 0o700) }, "not a regular file"},
		{"no binding", func(t *testing.T, path string) { os.Remove(path + BindingExt) }, "root.key.board is missing"},
		{"binding open to others", func(t *testing.T, path string) { os.Chmod(path+BindingExt, 0o440) }, "run chmod 400"},
		{"binding cut", func(t *testing.T, path string) { rewrite(t, path+BindingExt, []byte(`{"version":1,`)) }, "damaged"},
		{"binding of a later version", func(t *testing.T, path string) { rewrite(t, path+BindingExt, []byte(`{"version":2}`)) }, "version 2"},
		{"binding without seals", func(t *testing.T, path string) { rewrite(t, path+BindingExt, []byte(`{"version":1}`)) }, "0 seals"},
		{"binding with a short seal", func(t *testing.T, path string) {
			rewrite(t, path+BindingExt, []byte(`{"version":1,"seals":[{"source":"mac","sealed":"AAAA"}]}`))
		}, "wrong length"},
	}
	b := rootfs("openwrt-mips")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path, _ := mustCreate(t, b)
			tt.spoil(t, path)
			_, err := b.DeviceSecret(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
			if got, want := errors.Is(err, fs.ErrNotExist), tt.name == "no root key"; got != want {
				t.Errorf("errors.Is(err, fs.ErrNotExist) = %v, want %v: %v", got, want, err)
			}
		})
	}
}

// Each system call of CreateRootKey fails once, or is the last before a power cut: afterwards there is a
// whole root key that opens, or none and CreateRootKey makes one.
func TestCreateRootKeyFaults(t *testing.T) {
	b := rootfs("openwrt-mips")
	for _, powerCut := range []bool{false, true} {
		for call := 1; ; call++ {
			path := rootKeyPath(t)
			d := &faultyDisk{failAt: call, powerCut: powerCut}
			err := b.createRootKey(d, path)
			if d.calls < call {
				if err != nil {
					t.Fatalf("without a fault: %v", err)
				}
				if call < 10 {
					t.Fatalf("only %d calls seen", call-1)
				}
				break
			}
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("call %d failed: got %v, want EIO", call, err)
			}
			_, secretErr := b.DeviceSecret(path)
			again := b.CreateRootKey(path)
			switch {
			case errors.Is(secretErr, fs.ErrNotExist):
				if again != nil {
					t.Errorf("call %d: no root key, and making it again fails: %v", call, again)
				} else if _, err := b.DeviceSecret(path); err != nil {
					t.Errorf("call %d: made again: %v", call, err)
				}
			case secretErr != nil:
				t.Errorf("call %d: half a root key: %v", call, secretErr)
			case !errors.Is(again, fs.ErrExist):
				t.Errorf("call %d: root key made a second time: %v", call, again)
			}
		}
	}
}

// A faultyDisk lets one call fail without effect, and with powerCut all that follow.
type faultyDisk struct {
	osDisk
	calls, failAt int
	powerCut      bool
}

func (d *faultyDisk) fails() error {
	d.calls++
	if d.calls == d.failAt || d.powerCut && d.calls > d.failAt {
		return syscall.EIO
	}
	return nil
}

// A write that fails leaves half of the file.
func (d *faultyDisk) writeSynced(path string, data []byte) error {
	if err := d.fails(); err != nil {
		if d.calls == d.failAt {
			d.osDisk.writeSynced(path, data[:len(data)/2])
		}
		return err
	}
	return d.osDisk.writeSynced(path, data)
}

func (d *faultyDisk) link(from, to string) error {
	if err := d.fails(); err != nil {
		return err
	}
	return d.osDisk.link(from, to)
}

func (d *faultyDisk) remove(path string) error {
	if err := d.fails(); err != nil {
		return err
	}
	return d.osDisk.remove(path)
}

func (d *faultyDisk) syncDir(path string) error {
	if err := d.fails(); err != nil {
		return err
	}
	return d.osDisk.syncDir(path)
}

func rewrite(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseBinding(f *testing.F) {
	text, err := newBinding(make([]byte, RootKeySize), Identity{Model: "m", IDs: []string{"mac:50:c7:bf:a1:b2:c3"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"version":1,"seals":[{"source":"","sealed":null}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := parseBinding(text)
		if err != nil {
			return
		}
		// Nobody makes a seal without the root key.
		if _, ok := b.open(bytes.Repeat([]byte{1}, RootKeySize), Identity{IDs: []string{"mac:50:c7:bf:a1:b2:c3"}}); ok {
			t.Error("opened under a root key that it was not made with")
		}
	})
}

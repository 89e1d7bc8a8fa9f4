package board

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestIdentity(t *testing.T) {
	tests := []struct {
		root, model, serial string
		ids                 []string
	}{
		{"openwrt-mips", "TP-Link Archer C7 v5", "", []string{
			"mac:50:c7:bf:a1:b2:c2", "mac:50:c7:bf:a1:b2:c3", "mac:50:c7:bf:a1:b2:c4",
		}},
		{"openwrt-arm-dt", "Bananapi BPI-R3", "BPIR3-22A0417-0093", []string{
			"dt-serial:bpir3-22a0417-0093", "emmc-cid:150100384754443452010f1a2b3c4d00", "mtd-otp:052c37e87e5f621a79e7e53cb7446ee0",
		}},
		{"debian-x86-dmi", "PC Engines apu2", "1456789", []string{
			"dmi-product-serial:1456789", "dmi-uuid:4c4c4544-0037-4b10-8052-b4c04f4d5a32", "mac:00:0d:b9:4a:5b:6c",
		}},
		{"qemu-malta", "MTI Malta", "", nil},
		{"bare", "unknown board", "", nil},
	}
	seen := map[string]string{}
	for _, tt := range tests {
		t.Run(tt.root, func(t *testing.T) {
			got, err := New("testdata/rootfs-" + tt.root).Identity()
			if err != nil {
				t.Fatal(err)
			}
			if got.Model != tt.model || got.Serial != tt.serial || !slices.Equal(got.IDs, tt.ids) {
				t.Errorf("got  %q %q %q\nwant %q %q %q", got.Model, got.Serial, got.IDs, tt.model, tt.serial, tt.ids)
			}
			shown := got.Fingerprint()
			if len(tt.ids) == 0 {
				if shown != "none" {
					t.Errorf("fingerprint of a board without ids: got %q, want none", shown)
				}
			} else if other, ok := seen[shown]; ok {
				t.Errorf("fingerprint %s is also that of %s", shown, other)
			}
			seen[shown] = tt.root
		})
	}
}

func TestIdentityWithoutRoot(t *testing.T) {
	if _, err := New(filepath.Join(t.TempDir(), "absent")).Identity(); err == nil {
		t.Error("a root folder that is not there has an identity")
	}
}

// What may come and go without the board being another one changes no id.
func TestIdentityKeepsOutWhatChanges(t *testing.T) {
	root := copyRoot(t, "openwrt-mips")
	want := mustIdentity(t, root).IDs

	// A person sets an address; the kernel then says so.
	wired := filepath.Join(root, "sys/class/net/eth0")
	write(t, filepath.Join(wired, "address"), "50:c7:bf:00:00:01\n")
	write(t, filepath.Join(wired, "addr_assign_type"), "3\n")
	got := mustIdentity(t, root).IDs
	if wantLeft := slices.DeleteFunc(slices.Clone(want), func(id string) bool { return id == "mac:50:c7:bf:a1:b2:c3" }); !slices.Equal(got, wantLeft) {
		t.Errorf("after an address was set: got %q, want %q", got, wantLeft)
	}
	write(t, filepath.Join(wired, "address"), "50:c7:bf:a1:b2:c3\n")
	write(t, filepath.Join(wired, "addr_assign_type"), "0\n")

	// An interface is renamed.
	if err := os.Rename(wired, filepath.Join(root, "sys/class/net/wan")); err != nil {
		t.Fatal(err)
	}
	// An SD card is plugged in.
	write(t, filepath.Join(root, "sys/block/mmcblk0/device/type"), "SD\n")
	write(t, filepath.Join(root, "sys/block/mmcblk0/device/cid"), "03534453433332478012345678017100\n")
	if got := mustIdentity(t, root).IDs; !slices.Equal(got, want) {
		t.Errorf("after a rename and an SD card: got %q, want %q", got, want)
	}
}

// A board whose radio still has the chip maker's sample is not bound to it: every
// other board of that kind would open its keys.
func TestSampleAddressIsNoIdentity(t *testing.T) {
	root := copyRoot(t, "openwrt-mips")
	radios, err := filepath.Glob(filepath.Join(root, "sys/class/ieee80211/*/macaddress"))
	if err != nil || len(radios) == 0 {
		t.Fatalf("no radio: %v", err)
	}
	for _, radio := range radios {
		write(t, radio, "00:03:7f:11:20:a1\n")
	}
	if got, want := mustIdentity(t, root).IDs, []string{"mac:50:c7:bf:a1:b2:c3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMeaningful(t *testing.T) {
	tests := []struct{ text, want string }{
		{"BPI-R3\x00", "BPI-R3"},
		{"  S/N 0417\n", "S/N 0417"},
		{"0", "0"},
		{"", ""},
		{"\x00\x00", ""},
		{"None", ""},
		{"N/A", ""},
		{"To be filled by O.E.M.", ""},
		{"To Be Filled By O.E.M", ""},
		{"Default string", ""},
		{"System Serial Number", ""},
		{"Not Specified", ""},
		{"0000-0000-0000", ""},
		{"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", ""},
		{"xxxxxxxxxx", ""},
		{"....", ""},
		{"0123456789", ""},
	}
	for _, tt := range tests {
		if got := meaningful(tt.text); got != tt.want {
			t.Errorf("meaningful(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestUniversalMAC(t *testing.T) {
	tests := []struct{ text, want string }{
		{"50:C7:BF:A1:B2:C3", "50:c7:bf:a1:b2:c3"},
		{"52:54:00:12:34:56", ""}, // locally administered, QEMU's
		{"51:c7:bf:a1:b2:c3", ""}, // multicast
		{"00:00:00:00:00:00", ""},
		{"ff:ff:ff:ff:ff:ff", ""},
		{"01:00:5e:00:00:01", ""}, // multicast
		{"02:10:18:01:00:01", ""}, // locally administered, a Broadcom boot loader's
		{"00:11:22:33:44:55", ""},
		{"00:01:02:03:04:05", ""},
		{"00:aa:bb:cc:dd:ee", ""},
		{"44:44:44:44:44:44", ""},
		{"50:c7:bf:00:00:00", ""}, // a maker's number and nothing behind it
		{"50:c7:bf:ff:ff:ff", ""},
		{"50:c7:bf:12:34:56", ""},
		{"50:c7:bf:00:00:01", "50:c7:bf:00:00:01"}, // somebody has the first one
		{"00:0c:43:76:20:58", ""},                  // Ralink's sample
		{"00:0C:43:28:80:33", ""},
		{"00:03:7f:11:20:a1", ""}, // Atheros'
		{"00:90:4c:5f:00:2a", ""}, // Broadcom's
		{"00:e0:4c:81:86:86", ""}, // Realtek's
		{"00:0a:35:00:01:22", ""}, // Xilinx's
		{"00:15:18:01:81:31", ""}, // Amlogic's
		{"00:15:18:01:81:32", "00:15:18:01:81:32"},
		{"88:88:88:88:87:88", ""},       // Intel's
		{"02:00:5e:10:00:00:00:01", ""}, // EUI-64
		{"80:00:00:48:fe:80", "80:00:00:48:fe:80"},
		{"nonsense", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := universalMAC(tt.text); got != tt.want {
			t.Errorf("universalMAC(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

// A huge file in the place of an id must not be read whole.
func TestReadIsBounded(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "sys/class/dmi/id/product_serial"), strings.Repeat("7a", 1<<20))
	if got := len(mustIdentity(t, root).Serial); got > maxFile {
		t.Errorf("serial of %d bytes read, at most %d wanted", got, maxFile)
	}
}

// DMI's ids are for root only: without root they are left out and named.
func TestUnreadableID(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("has to run as root")
		}
		t.Skip("has to run as root")
	}
	root := copyRoot(t, "debian-x86-dmi")
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil { // the test's folder is for root only
		t.Fatal(err)
	}
	uuid := filepath.Join(root, "sys/class/dmi/id/product_uuid")
	if err := os.Chmod(uuid, 0o400); err != nil {
		t.Fatal(err)
	}
	path := rootKeyPath(t)
	if err := New(root).CreateRootKey(path); err != nil {
		t.Fatal(err)
	}
	// The file system's user id belongs to the thread, which ends with this goroutine.
	var id Identity
	var unreadable []string
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			done <- err
			return
		}
		var err error
		id, unreadable, err = New(root).identity()
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if want := []string{"dmi-uuid"}; !slices.Equal(unreadable, want) {
		t.Errorf("unreadable: got %q, want %q", unreadable, want)
	}
	if i := slices.IndexFunc(id.IDs, func(s string) bool { return strings.HasPrefix(s, "dmi-uuid:") }); i >= 0 {
		t.Errorf("ids read without the right to: %q", id.IDs[i])
	}
	err := &WrongBoardError{Sources: []string{"dmi-uuid"}, Here: []string{"mac"}, Unreadable: unreadable}
	if !strings.Contains(err.Error(), "dmi-uuid cannot be read") {
		t.Errorf("error does not name what cannot be read: %v", err)
	}
}

// copyRoot copies a board's files so that a test can change them.
func copyRoot(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/rootfs-"+name)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mustIdentity(t *testing.T, root string) Identity {
	t.Helper()
	id, err := New(root).Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

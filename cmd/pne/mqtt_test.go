package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport/mqtt"
	"cpns.example.net/pngw/transport/mqtt/mosquitto"
)

// The users of the test's broker. Each has its name reversed as its password.
const (
	gatewayUser = "gw-0001"
	plainUser   = "meter-0001"       // of the Entity ID meter-0001
	encodedUser = "PNE%2F7%2B%23%25" // of the Entity ID PNE/7+#%
	otherUser   = "meter-7"          // of testEntity
)

func passwordOf(user string) string {
	p := []byte(user)
	slices.Reverse(p)
	return string(p)
}

// startBroker runs a mosquitto with the access list of docs/integrating.md and
// returns its address.
func startBroker(t *testing.T) (address string) {
	t.Helper()
	broker := mosquitto.Start(t, func(dir string) {
		acl := fenced(t, integrating, "acl")[0]
		if err := os.WriteFile(filepath.Join(dir, "acl"), []byte(acl), 0o600); err != nil {
			t.Fatal(err)
		}
		passwordFile(t, dir)
	}, "allow_anonymous false", "password_file DIR/passwords", "acl_file DIR/acl")
	return broker.Addr()
}

// passwordFile makes mosquitto's, DIR/passwords, with the program that comes with it.
func passwordFile(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "passwords")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{gatewayUser, plainUser, encodedUser, otherUser} {
		if out, err := exec.Command(mosquitto.Tool(t, "mosquitto_passwd"), "-b", path, user, passwordOf(user)).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
		}
	}
}

func writePassword(t *testing.T, user string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(passwordOf(user)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMQTT runs the program on a real broker that has the access list of
// docs/integrating.md, with Entity IDs that the list and the topics treat
// differently.
func TestMQTT(t *testing.T) {
	address := startBroker(t)
	link, err := mqtt.New(mqtt.Config{
		Name: "broker", URL: "mqtt://" + address, Role: mqtt.Gateway, Entity: string(testGateway),
		Username: gatewayUser, PasswordFile: writePassword(t, gatewayUser),
	})
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, link)
	tests := []struct {
		user   string
		entity cpns.EntityID
	}{
		{plainUser, "meter-0001"},
		{encodedUser, "PNE/7+#%"},
		{otherUser, testEntity},
	}
	for _, tt := range tests {
		t.Run(string(tt.entity), func(t *testing.T) {
			g.t = t
			dir := t.TempDir()
			args := []string{
				"--entity-id", string(tt.entity), "--tk-file", writeTK(t, dir), "--state", filepath.Join(dir, "state"),
				"--mqtt", "mqtt://" + address, "--username", tt.user, "--password-file", writePassword(t, tt.user),
			}
			p := startProgram(t, args...)
			g.give(tt.entity)
			p.stop(
				fmt.Sprintf(`{"event":"hello","entity_id":"%s","epoch":0,"index":0}`, tt.entity),
				fmt.Sprintf(`{"event":"stored","entity_id":"%s","gateway_id":"gw-0001","epoch":1,"index":1}`, tt.entity),
			)
			p = startProgram(t, args...)
			g.roll(tt.entity)
			g.send("", &cpns.Identify{})
			if hello := hear[*cpns.Hello](g); hello.Entity != tt.entity || hello.Index != 2 {
				t.Errorf("asked, %q says index %d; want %q, 2", hello.Entity, hello.Index, tt.entity)
			}
			p.cancel()
			<-p.ended
		})
	}
}

// TestAccessList: a device of that broker neither hears what is for another nor
// speaks for it.
func TestAccessList(t *testing.T) {
	address := startBroker(t)
	connect := func(user string) paho.Client {
		c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + address).SetClientID(user).
			SetUsername(user).SetPassword(passwordOf(user)).SetAutoReconnect(false))
		done(t, c.Connect())
		t.Cleanup(func() { c.Disconnect(0) })
		return c
	}
	heard := make(chan string, 16)
	subscribe := func(c paho.Client, topic string) {
		done(t, c.Subscribe(topic, 1, func(_ paho.Client, m paho.Message) { heard <- m.Topic() }))
	}
	gateway, other, device := connect(gatewayUser), connect(encodedUser), connect(plainUser)
	subscribe(gateway, "cpns/+/up")
	subscribe(device, "cpns/#")

	forbidden := []struct {
		by    paho.Client
		topic string
	}{
		{device, "cpns/" + encodedUser + "/up"},
		{device, "cpns/meter-0001/down"},
		{device, "cpns/identify"},
		{gateway, "cpns/meter-0001/up"},
		{gateway, "cpns/" + encodedUser + "/down"}, // allowed, but not to be heard by device
	}
	for _, f := range forbidden {
		done(t, f.by.Publish(f.topic, 1, false, "x"))
	}
	// The broker keeps the order: what was not for these ears would come first.
	allowed := []struct {
		by    paho.Client
		topic string
	}{
		{gateway, "cpns/meter-0001/down"},
		{gateway, "cpns/identify"},
		{device, "cpns/meter-0001/up"},
		{other, "cpns/" + encodedUser + "/up"},
	}
	for _, a := range allowed {
		done(t, a.by.Publish(a.topic, 1, false, "x"))
		select {
		case got := <-heard:
			if got != a.topic {
				t.Errorf("heard on %s before %s", got, a.topic)
			}
		case <-time.After(patience):
			t.Errorf("nothing heard on %s", a.topic)
		}
	}
}

func done(t *testing.T, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) {
		t.Fatal("the broker does not answer")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

package main

import (
	"context"
	"encoding/hex"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cpns.example.net/pngw/gba"
	"cpns.example.net/pngw/scripts/gbalab/lab"
)

// A 3GPP operator for the scripts:
//
//	operator FILE    starts the lab's BSF for the subscribers of FILE, at $BSF; the SIM is the first's
//	sim N            puts in the SIM of subscriber N of FILE
//	bootstrap NAME   lets SIM and BSF agree on a key: the B-TID in $ID_NAME, the key in NAME.psk

type (
	simKey  struct{}
	simsKey struct{}
)

func mobileOperator(ts *testscript.TestScript, neg bool, args []string) {
	sims, err := lab.LoadSubscribers(ts.MkAbs(args[0]))
	ts.Check(err)
	bsf := lab.NewBSF("127.0.0.1", time.Hour, sims)
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", bsf.Ub)
	mux.HandleFunc(lab.RetrievalPath, bsf.Nbsp)
	web := httptest.NewServer(mux)
	ts.Defer(web.Close)
	ts.Setenv("BSF", web.URL)
	*ts.Value(simKey{}).(**lab.Subscriber) = sims[0]
	*ts.Value(simsKey{}).(*[]*lab.Subscriber) = sims
}

func sim(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	*ts.Value(simKey{}).(**lab.Subscriber) = (*ts.Value(simsKey{}).(*[]*lab.Subscriber))[n]
}

func bootstrap(ts *testscript.TestScript, neg bool, args []string) {
	modem := lab.Modem{SIM: *ts.Value(simKey{}).(**lab.Subscriber)}
	card := &gba.Modem{Open: func(context.Context) (gba.Port, error) {
		here, there := net.Pipe()
		go func() { modem.Serve(there); there.Close() }()
		return here, nil
	}}
	got, err := gba.Bootstrap(context.Background(), gba.Config{BSF: ts.Getenv("BSF"), Card: card, HTTP: http.DefaultClient, Now: time.Now})
	ts.Check(err)
	key, err := got.KsNAF(gba.NAFID("cpns.example.net", [5]byte{3, 0, 0, 0, 1}))
	ts.Check(err)
	ts.Setenv("ID_"+args[0], got.BTID)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".psk"), []byte(hex.EncodeToString(key[:])), 0o600))
}

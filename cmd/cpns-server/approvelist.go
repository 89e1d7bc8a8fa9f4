package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/command"
)

// A list of gateways to be approved is at most this long, in bytes.
const approvalsSize = 4 << 20

// An approvalRow is one row of a list: an approval, or why it is none.
type approvalRow struct {
	line     int
	approval server.Approval
	err      error
}

// readApprovals reads a list of gateways to be approved: CSV with a header of serial,
// gateway_id and fingerprint, in any order, as programs and spreadsheets write it.
func readApprovals(path string, trustSerial, replace bool) ([]approvalRow, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, approvalsSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > approvalsSize {
		return nil, fmt.Errorf("%s is longer than %d MiB: split it", path, approvalsSize>>20)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	header, _, _ := bytes.Cut(text, []byte("\n"))
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord = -1
	for _, comma := range ";\t" {
		if bytes.ContainsRune(header, comma) {
			r.Comma = comma
		}
	}
	names, err := r.Read()
	if err == nil {
		err = checkColumns(names)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the header has to be serial,gateway_id,fingerprint, or some of these: %w", path, err)
	}
	var rows []approvalRow
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return rows, nil
		}
		line, _ := r.FieldPos(0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if strings.Join(fields, "") == "" {
			continue
		}
		a, err := approvalOf(names, fields, trustSerial)
		a.Replace = replace
		rows = append(rows, approvalRow{line, a, err})
	}
}

func checkColumns(names []string) error {
	seen := make(map[string]bool)
	for n, name := range names {
		switch name {
		case "serial", "gateway_id", "fingerprint":
		default: // which is not repeated: a wrong file may have keys in it
			return fmt.Errorf("column %d has another name", n+1)
		}
		if seen[name] {
			return fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
	}
	if !seen["serial"] && !seen["fingerprint"] {
		return errors.New("neither serial nor fingerprint is there")
	}
	return nil
}

// approvalOf reads one row.
func approvalOf(names, fields []string, trustSerial bool) (a server.Approval, err error) {
	for n, field := range fields {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		if n >= len(names) {
			return a, errors.New("more fields than the header has")
		}
		switch names[n] {
		case "serial":
			a.Serial = field
		case "gateway_id":
			a.ID, err = cpns.ParseGatewayID(field)
		case "fingerprint":
			a.Fingerprint, err = cpns.ParseFingerprint(field)
		}
		if err != nil {
			return a, err
		}
	}
	switch {
	case a.Fingerprint != "":
		return a, nil
	case a.Serial == "":
		return a, errors.New("neither a fingerprint nor a serial number")
	case !trustSerial:
		return a, errors.New("no fingerprint: anybody can say a serial number; --trust-serial-numbers takes it all the same")
	}
	return a, nil
}

// approveRows takes in the gateways of a list, each for itself, with a verdict on each
// row. What is taken in already is no failure: a list may be given again.
func approveRows(ctx context.Context, c *command.Console, op operator, rows []approvalRow) error {
	approved, failed := 0, 0
	for _, row := range rows {
		verdict, err := "", row.err
		if err == nil {
			verdict, err = approve(ctx, op, row.approval)
		}
		if known, ok := errors.AsType[*server.KnownKeyError](err); ok && (row.approval.ID == "" || row.approval.ID == known.Gateway) {
			verdict, err = fmt.Sprintf("%s is gateway %s already", row.approval.Fingerprint, known.Gateway), nil
		}
		if err != nil {
			failed++
			c.Printf("line %d: NOT APPROVED: %v\n", row.line, err)
			continue
		}
		approved++
		c.Printf("line %d: %s\n", row.line, verdict)
	}
	if failed > 0 {
		return fmt.Errorf("approved: %d, not approved: %d", approved, failed)
	}
	return nil
}

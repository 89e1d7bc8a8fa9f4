package admin

import (
	"encoding/hex"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// importMost bounds the rows of one request; a file has more, and comes in parts.
const importMost = 20_000

// part is some rows of a file. It takes no idempotency key: with resume, sent again it
// does what is left of it.
type part struct {
	Rows   []row `json:"rows" doc:"at most 20000"`
	DryRun bool  `json:"dry_run,omitempty" doc:"check everything, import nothing"`
	Resume bool  `json:"resume,omitempty" doc:"rows whose PNE is there already with the same Temporary Key are passed over: for a part that was sent before"`
}

// row is a PNE to be imported.
type row struct {
	Line   int           `json:"line" doc:"by which it is told of"`
	Entity cpns.EntityID `json:"entity_id"`
	TK     string        `json:"tk" doc:"16 to 64 bytes as hex"`
	Owner  cpns.UserID   `json:"owner,omitempty" doc:"the only user who gets it"`
}

// verdicts are what came of a part.
type verdicts struct {
	Good     int       `json:"good" doc:"rows that could be imported"`
	Imported int       `json:"imported"`
	There    int       `json:"there" doc:"rows that were passed over"`
	Bad      []verdict `json:"bad"`
}

// verdict is why one row is bad.
type verdict struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

func importPNEs(c *call, in *part) (*verdicts, error) {
	if len(in.Rows) > importMost {
		return nil, malformed("rows: at most %d", importMost)
	}
	out := &verdicts{Bad: []verdict{}}
	rows := make([]server.ImportRow, 0, len(in.Rows))
	for _, r := range in.Rows {
		good, err := r.importRow()
		if err != nil {
			out.Bad = append(out.Bad, verdict{r.Line, err.Error()})
			continue
		}
		rows = append(rows, good)
	}
	opts := server.ImportOptions{Partial: true, DryRun: in.DryRun, Resume: in.Resume, Bad: func(e *server.RowError) {
		out.Bad = append(out.Bad, verdict{e.Line, e.Reason})
	}}
	got, err := c.op.ImportRows(c.ctx, rows, opts)
	out.Good, out.Imported, out.There = got.Good, got.Imported, got.There
	return out, err
}

// importRow is the row as the operator imports it.
func (r *row) importRow() (out server.ImportRow, err error) {
	out.Line = r.Line
	if out.Entity, err = cpns.ParseEntityID(string(r.Entity)); err != nil {
		return out, err
	}
	if r.Owner != "" {
		if out.Owner, err = cpns.ParseUserID(string(r.Owner)); err != nil {
			return out, err
		}
	}
	raw, err := hex.DecodeString(r.TK)
	if err != nil {
		return out, &server.RefusalError{Reason: "TK: not hex"}
	}
	out.TK, err = cpns.ParseTK(raw)
	return out, err
}

package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pureImports is all of the standard library that agent/life may use: nothing in
// it reads, writes, waits or draws at random.
var pureImports = []string{"bytes", "cmp", "crypto/sha256", "crypto/subtle", "encoding/json", "errors", "fmt", "slices", "strconv", "strings", "time"}

// impure are functions of those packages that are not.
var impure = []string{
	"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.Tick", "time.NewTimer", "time.NewTicker",
	"fmt.Print", "fmt.Printf", "fmt.Println",
}

// TestLifeIsPure: the life of a PNE is a function of what is handed to it, so
// that the whole of it can be searched and driven at random.
func TestLifeIsPure(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root(t), "agent/life/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		looked++
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range impurities(f) {
			t.Errorf("%s: %s", fset.Position(problem.at), problem.what)
		}
	}
	if looked < 5 {
		t.Fatalf("%d files found in agent/life", looked)
	}
}

type impurity struct {
	at   token.Pos
	what string
}

func impurities(f *ast.File) []impurity {
	var found []impurity
	for _, i := range f.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		if inStandardLibrary(path) && !slices.Contains(pureImports, path) {
			found = append(found, impurity{i.Pos(), "imports " + path})
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, impurity{n.Pos(), "starts a goroutine"})
		case *ast.ChanType:
			found = append(found, impurity{n.Pos(), "uses a channel"})
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && slices.Contains(impure, pkg.Name+"."+n.Sel.Name) {
				found = append(found, impurity{n.Pos(), "uses " + pkg.Name + "." + n.Sel.Name})
			}
		}
		return true
	})
	return found
}

func TestImpurities(t *testing.T) {
	const source = `package x
import ("time"; "os")
var t = time.Now()
func f() { go f(); var _ chan int; _ = os.Args }`
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := impurities(f); len(got) != 4 {
		t.Errorf("found %v, want 4", got)
	}
}

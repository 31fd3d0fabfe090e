// Command go-mutants writes one copy of a Go source file for each way in which a fixed set of operators can change it in one
// place. What is changed is decided by the syntax tree alone, so that nobody chooses the changes that a suite is measured on.
//
//	go run . -out DIR FILE...
//
// Each change becomes DIR/NNNN/overlay.json, which `go build -overlay` takes, beside the changed file, and a line of
// DIR/index.tsv: number, file, line, operator, what stood there, what stands there now.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// change replaces source[start:end] by text.
type change struct {
	operator   string
	start, end int
	text       string
}

// finder collects the changes of one file.
type finder struct {
	file   *token.File
	source []byte
	found  []change
	// Positions of nodes whose texts only people read: messages of errors and logs, descriptions of flags and metrics.
	told map[ast.Node]bool
}

func main() {
	out := flag.String("out", "mutants", "folder to write to")
	flag.Parse()
	if flag.NArg() == 0 {
		fail(fmt.Errorf("expected Go files as arguments, found none"))
	}
	fail(os.MkdirAll(*out, 0o755))
	index, err := os.Create(filepath.Join(*out, "index.tsv"))
	fail(err)
	defer index.Close()
	number := 0
	for _, path := range flag.Args() {
		path, err := filepath.Abs(path)
		fail(err)
		source, err := os.ReadFile(path)
		fail(err)
		files := token.NewFileSet()
		tree, err := parser.ParseFile(files, path, source, parser.SkipObjectResolution)
		fail(err)
		find := &finder{file: files.File(tree.Pos()), source: source, told: map[ast.Node]bool{}}
		ast.Inspect(tree, find.visit)
		sort.SliceStable(find.found, func(a, b int) bool { return find.found[a].start < find.found[b].start })
		for _, change := range find.found {
			number++
			folder := filepath.Join(*out, fmt.Sprintf("%04d", number))
			fail(os.MkdirAll(folder, 0o755))
			changed := string(source[:change.start]) + change.text + string(source[change.end:])
			target := filepath.Join(folder, filepath.Base(path))
			fail(os.WriteFile(target, []byte(changed), 0o644))
			target, err := filepath.Abs(target)
			fail(err)
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: target}})
			fail(err)
			fail(os.WriteFile(filepath.Join(folder, "overlay.json"), overlay, 0o644))
			line := find.file.Line(find.file.Pos(change.start))
			fmt.Fprintf(index, "%04d\t%s\t%d\t%s\t%s\t%s\n", number, filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path), line,
				change.operator, short(string(source[change.start:change.end])), short(change.text))
		}
	}
	fmt.Printf("%d changes in %s\n", number, *out)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-mutants:", err)
		os.Exit(1)
	}
}

func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 110 {
		return text[:110] + "…"
	}
	return text
}

func (f *finder) text(node ast.Node) string {
	return string(f.source[f.file.Offset(node.Pos()):f.file.Offset(node.End())])
}

func (f *finder) replace(operator string, node ast.Node, text string) {
	f.span(operator, node.Pos(), node.End(), text)
}

func (f *finder) span(operator string, from, to token.Pos, text string) {
	f.found = append(f.found, change{operator, f.file.Offset(from), f.file.Offset(to), text})
}

func (f *finder) visit(node ast.Node) bool {
	if node == nil || f.told[node] {
		return false
	}
	switch node := node.(type) {
	case *ast.ImportSpec:
		return false
	case *ast.CallExpr:
		f.mark(node)
	case *ast.IfStmt:
		f.replace("negate condition", node.Cond, "!("+f.text(node.Cond)+")")
		if node.Else != nil {
			f.span("drop else", node.Body.End(), node.Else.End(), "")
		}
	case *ast.BlockStmt:
		f.statements(node.List)
	case *ast.CaseClause:
		f.statements(node.Body)
	case *ast.BinaryExpr:
		f.binary(node)
	case *ast.CompositeLit:
		f.elements(node)
	case *ast.BasicLit:
		f.literal(node)
	case *ast.Field:
		// Tags of fields are names in the settings' form.
		if node.Tag != nil {
			f.literal(node.Tag)
			f.told[node.Tag] = true
		}
	case *ast.Ident:
		switch node.Name {
		case "true":
			f.replace("flip constant", node, "false")
		case "false":
			f.replace("flip constant", node, "true")
		}
	}
	return true
}

// mark leaves out texts that only people read.
func (f *finder) mark(call *ast.CallExpr) {
	name := f.text(call.Fun)
	first := map[string]int{"fmt.Errorf": 0, "errors.New": 0, "errors.Errorf": 0, "errors.Wrap": 1, "metric.WithDescription": 0}
	from, ok := first[name]
	if !ok {
		last := name[strings.LastIndex(name, ".")+1:]
		switch {
		case strings.Contains(strings.ToLower(name), "log"):
			from, ok = 0, true
		case strings.HasPrefix(name, "flag.") && strings.HasSuffix(last, "Var"):
			from, ok = len(call.Args)-1, true
		}
	}
	for index := from; ok && index < len(call.Args); index++ {
		f.told[call.Args[index]] = true
	}
}

func (f *finder) statements(list []ast.Stmt) {
	for _, statement := range list {
		switch statement := statement.(type) {
		case *ast.ExprStmt, *ast.DeferStmt, *ast.GoStmt, *ast.IncDecStmt, *ast.BranchStmt:
			f.replace("drop statement", statement, "")
		case *ast.AssignStmt:
			if statement.Tok != token.DEFINE {
				f.replace("drop statement", statement, "")
			}
		case *ast.IfStmt, *ast.RangeStmt, *ast.ForStmt:
			f.replace("drop branch", statement, "")
		case *ast.ReturnStmt:
			if len(list) > 1 || len(statement.Results) == 0 {
				continue
			}
			// What guards the rest of a function, and what names an answer in a branch, is dropped with its branch.
		}
	}
}

func (f *finder) binary(node *ast.BinaryExpr) {
	others := map[token.Token][]string{
		token.LAND: {"||"}, token.LOR: {"&&"}, token.EQL: {"!="}, token.NEQ: {"=="},
		token.LSS: {"<="}, token.LEQ: {"<"}, token.GTR: {">="}, token.GEQ: {">"}, token.ADD: {"-"}, token.SUB: {"+"},
	}
	for _, other := range others[node.Op] {
		to := node.OpPos + token.Pos(len(node.Op.String()))
		f.span("swap operator", node.OpPos, to, other)
	}
}

// elements drops each element of a literal, and exchanges the values of neighbouring fields.
func (f *finder) elements(node *ast.CompositeLit) {
	var before *ast.KeyValueExpr
	for index, element := range node.Elts {
		to := element.End()
		if index+1 < len(node.Elts) {
			to = node.Elts[index+1].Pos()
		}
		if len(node.Elts) > 1 {
			f.span("drop element", element.Pos(), to, "")
		}
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			before = nil
			continue
		}
		if before != nil && f.text(before.Value) != f.text(pair.Value) {
			between := string(f.source[f.file.Offset(before.Value.End()):f.file.Offset(pair.Value.Pos())])
			f.span("swap values", before.Value.Pos(), pair.Value.End(), f.text(pair.Value)+between+f.text(before.Value))
		}
		before = pair
	}
}

func (f *finder) literal(node *ast.BasicLit) {
	switch node.Kind {
	case token.STRING:
		if strings.HasPrefix(node.Value, "`") {
			// `name:"VALUE" other:"VALUE"`: each value in turn.
			quotes := strings.Split(node.Value, `"`)
			for index := 1; index+1 < len(quotes); index += 2 {
				changed := append([]string{}, quotes...)
				changed[index] += "x"
				if changed[index] == "truex" {
					changed[index] = "false"
				}
				f.replace("change constant", node, strings.Join(changed, `"`))
			}
			return
		}
		value, err := strconv.Unquote(node.Value)
		fail(err)
		f.replace("change constant", node, strconv.Quote(value+"x"))
		if value != "" {
			f.replace("empty constant", node, `""`)
		}
	case token.INT:
		f.replace("change constant", node, "("+node.Value+" + 1)")
	}
}

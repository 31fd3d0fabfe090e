module go-mutants

go 1.23

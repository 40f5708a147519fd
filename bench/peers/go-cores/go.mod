module peer-go-cores

go 1.22

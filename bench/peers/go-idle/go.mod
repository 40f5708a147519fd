module peer-go-idle

go 1.22

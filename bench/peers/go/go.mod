module lade/bench/peers/go

go 1.22

// SPDX-License-Identifier: MIT

// Benthos with the components that the benchmark needs and no others: what its documentation calls
// a custom build. The work is in the .yaml files beside it.
package main

import (
	"context"

	"github.com/benthosdev/benthos/v4/public/service"

	_ "github.com/benthosdev/benthos/v4/public/components/io"
	_ "github.com/benthosdev/benthos/v4/public/components/kafka"
	_ "github.com/benthosdev/benthos/v4/public/components/pure"
	_ "github.com/benthosdev/benthos/v4/public/components/sql/base"
	_ "github.com/lib/pq"
)

func main() {
	service.RunCLI(context.Background())
}

package exchange

import "time"

// LongestCached is how long a resource server keeps a token at most.
const LongestCached time.Duration = maxCache

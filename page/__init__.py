"""The page on which the ant walks in the browser: Bullet as WebAssembly, the environment in JavaScript, and the build."""

//! Roles and requests drawn at random, judged by the walk and key by key.

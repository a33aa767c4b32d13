
/*
 * Copyright (C) ngx_chat contributors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "src/core/ngx_chat_tree.h"


ngx_rbtree_node_t *
ngx_chat_tree_find(ngx_rbtree_t *tree, ngx_rbtree_key_t key)
{
    ngx_rbtree_node_t  *node;

    node = tree->root;

    while (node != tree->sentinel) {

        if (node->key == key) {
            return node;
        }

        node = (key < node->key) ? node->left : node->right;
    }

    return NULL;
}
